"""A broadcast to 50,000 while processes are killed, the database crashes, the broker forgets and servers hang up.

Waits for a later attempt (five minutes and more) are cut short in the database; everything else takes its own time.
"""

import contextlib
import random
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from core import schema
from core.database import Database, open_database
from core.errors import ServiceError
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import key_of
from tests.faults.recording_server import read_log
from tests.faults.striking import Strikes
from tests.faults.workplace import Workplace, populate
from tests.processes import answers, clarion, free_port, started, wait_for

pytestmark = pytest.mark.faults
AUDIENCE = 50_000
KILLS = 20
PROCESSES, CONNECTIONS = 2, 10
DROP_EVERY = 500
LONGEST_S = 360
SEED = 20261122
SETTINGS = MINIMAL_SETTINGS.replace("connections: 4", f"connections: {CONNECTIONS}")
SETTINGS += f"workers: {{{{processes: {PROCESSES}, batch_size: 250, lease: 10s}}}}\n"


@pytest.fixture
def office(make_workspace, tmp_path):
    """A workspace with services of its own, a mail server that drops every so many messages, and everything up."""
    smtp_port, web_port = free_port(), free_port()
    settings = f"{SETTINGS}web: {{{{port: {web_port}}}}}\n"
    workspace = make_workspace(broker="embedded", smtp_port=smtp_port, files=FILES, settings=settings)
    log = tmp_path / "server.jsonl"
    arguments = ["--port", str(smtp_port), "--log", str(log), "--drop-every", str(DROP_EVERY)]
    database = open_database(workspace)
    try:
        with started(
            ["-m", "tests.faults.recording_server", *arguments],
            tmp_path / "server.log",
            ready=lambda: answers(smtp_port),
        ):
            yield Workplace(workspace, database), log
            clarion(workspace, "down")
    finally:
        database.dispose()
        clarion(workspace, "down", "--erase", "--yes")


def _opt_out(database: Database, addresses: list[str]) -> None:
    entries = [
        {
            "address_key": key_of(address), "scope": "topic", "scope_name": "promotions", "reason": "unsubscribed",
            "source": "page",
        }
        for address in addresses
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.suppression), entries)


class _Counter:
    """How many messages the server took, counted as its log grows."""

    def __init__(self, log: Path) -> None:
        self._log, self._read, self.count = log, 0, 0

    def taken(self) -> int:
        with self._log.open("rb") as file:
            file.seek(self._read)
            more = file.read()
        self._read += len(more)
        self.count += more.count(b"\n")
        return self.count

    def has(self, count: int) -> bool:
        return self.taken() >= count


def _is_over(office: Workplace) -> bool:
    """No batch is open; later attempts are made at once."""
    with contextlib.suppress(OperationalError, ServiceError, psycopg.Error):
        later = "UPDATE batch SET not_before = now(), published_at = NULL WHERE state = 'ready' AND not_before > now()"
        office.execute(later)
        return office.scalar("SELECT count(*) FROM batch WHERE state <> 'done'") == 0
    return False


def _schedule(strikes: Strikes) -> list:
    """Twenty processes killed, the database crashed once, the broker flushed once, in a random but repeatable order."""
    kills = [strikes.kill_child] * (KILLS - 5) + [strikes.kill_parent] * 2 + [strikes.kill_all] * 2
    kills.append(strikes.kill_scheduler)
    others = [strikes.crash_postgres, strikes.flush_valkey]
    strikes.dice.shuffle(kills)
    return [*kills[:8], others[0], *kills[8:14], others[1], *kills[14:]]


def _strike_all_through(office: Workplace, strikes: Strikes, counter: _Counter, expected: int, deadline: float) -> None:
    """Every strike came at its share of the run."""
    schedule = _schedule(strikes)
    worker_log = office.workspace.state / "logs/worker.log"
    for number, strike in enumerate(schedule, 1):
        share = expected * number // (len(schedule) + 1)
        left = deadline - time.monotonic()
        wait_for(partial(counter.has, share), f"{share} messages", worker_log, left)
        strike(counter.count)


def _print_figures(strikes: Strikes, record, counts: dict[str, int], seconds: float) -> None:
    print(f"\n{'at message':>12}  strike")
    for taken, what in strikes.done:
        print(f"{taken:>12,}  {what}")
    rows = {
        **{f"connections dropped {kind}": number for kind, number in record.drops.items()},
        "messages at the server": len(record.recipients),
        "of them twice": len(record.recipients) - len(set(record.recipients)),
        **{f"in the ledger {state}": number for state, number in sorted(counts.items())},
        "seconds": round(seconds, 1),
    }
    for what, number in rows.items():
        print(f"{number:>12,}  {what}")


def test_nobody_is_lost_or_mailed_twice_whatever_dies(office):
    """
    After twenty kills, a crash of the database, a broker without memory and a hundred dropped connections: nobody has
    two mails, only what was in the air is in doubt, the ledger balances, and everybody is accounted for.
    """
    office, log = office
    addresses = populate(office.database, AUDIENCE)
    opted_out = addresses[::100]
    _opt_out(office.database, opted_out)
    expected = AUDIENCE - len(opted_out)
    strikes = Strikes(office.workspace, random.Random(SEED))
    begin = time.monotonic()
    clarion(office.workspace, "up", "--detach")
    clarion(office.workspace, "send", "spring-paper", "--yes")
    deadline = time.monotonic() + LONGEST_S
    _strike_all_through(office, strikes, _Counter(log), expected, deadline)
    worker_log = office.workspace.state / "logs/worker.log"
    wait_for(lambda: _is_over(office), "every batch to be done", worker_log, deadline - time.monotonic())
    record, counts = read_log(log), office.counts()
    _print_figures(strikes, record, counts, time.monotonic() - begin)

    assert len(record.recipients) == len(set(record.recipients)), "somebody was mailed twice"
    lost_answers = sum(number for kind, number in record.drops.items() if kind.startswith("after the dot"))
    in_the_air = KILLS * PROCESSES * CONNECTIONS + lost_answers
    assert counts["unknown"] <= in_the_air
    assert set(counts) == {"accepted", "unknown", "skipped"}
    missing = set(addresses) - set(opted_out) - set(record.recipients)
    assert missing <= office.people("unknown"), "somebody is neither at the server nor in doubt"
    assert not set(record.recipients) & set(opted_out)
    clarion(office.workspace, "status", "--check")
