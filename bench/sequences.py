"""One tick of a five-step sequence: a tenth of all passages due at once, at several sizes.

Usage: PYTHONPATH=. python bench/sequences.py [SIZE …]   (default 10000 100000 1000000)

Each passage that is due has waited three days. The tick asks whether it is to go on (`exit_when`, the goal), decides
the next mailing by the whole gate, writes messages and batches, and reckons the end of the next wait in the zone of
each recipient. Before that everybody enters from a segment, which is measured too.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from bench.measuring.by_size import by_size
from campaigns import catalogue as files
from campaigns.duty import Circumstances
from campaigns.sequences import engine, looking, records, versions
from core import embedded
from core.database import Database, analyze, open_database
from core.workspace import Workspace
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS

_SEQUENCE = """\
kind: sequence
topic: promotions
enrol: {segment: everybody}
send: {from: offers}
exit_when: did("ticket_opened", since="enrolment")
goal: {event: signed_up, within: 14d}
steps:
  hello: {send: {template: spring-paper.html, subject: Hello}}
  pause: {wait: 3d}
  second: {send: {template: second.html}}
  rest: {wait: {until: "09:00", on: [mon, tue, wed, thu, fri]}}
  done: {exit: finished}
"""
_SECOND = """\
---
subject: Ten boxes more
---
<p>Good morning {{ customer.first_name or "there" }}, <a href="https://paper.example/more">here</a>.</p>
"""
_CUSTOMERS = """
    INSERT INTO customer (external_id, email, address_key, zone)
    SELECT 'C' || n, 'c' || n || '@customers.example', md5('a' || n)::uuid,
           (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Shanghai', NULL])[1 + n % 4]
    FROM generate_series(1, :size) AS n
"""
_CONSENTS = """
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, 'promotions', 'granted', 'consent', 'bench', '2025-01-01' FROM customer WHERE id % 10 <> 0
"""
_SUPPRESSIONS = """
    INSERT INTO suppression (address_key, scope, scope_name, reason, source)
    SELECT address_key, 'topic', 'promotions', 'unsubscribed', 'bench' FROM customer WHERE id % 20 = 1
"""
_ACTIVITIES = """
    INSERT INTO activity (customer_id, name, occurred_at, event_key)
    SELECT id, 'page_view', '2026-01-01', 'E' || id FROM customer
"""
#: Nine of ten wait longer. Who entered together is due together.
_SPREAD = """
    UPDATE enrolment
    SET step = 'pause', nominal_at = :due,
        due_at = CASE WHEN enrolment.id < first.id + :size / 10 THEN CAST(:due AS timestamptz) ELSE :later END
    FROM (SELECT min(id) AS id FROM enrolment) AS first
"""
_START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def workspace_at(folder: Path) -> Workspace:
    """A workspace with the sequence in `folder`, with embedded services."""
    settings = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    more = {"clarion.yaml": settings, "campaigns/nurture.yaml": _SEQUENCE, "templates/second.html": _SECOND}
    for name, content in {**FILES, **more}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return Workspace(folder)


Duty = Callable[[Connection, Circumstances, datetime], int]


@dataclass
class Took:
    """What something did and took: seconds by the clock, and of the processors, ours and the database's."""

    done: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0


def until_rest(database: Database, around: Circumstances, duty: Duty, now: datetime) -> Took:
    """What the duty did until nothing was due any more."""
    took, begun, own = Took(), time.perf_counter(), time.process_time()
    while True:
        with database.begin() as connection:
            served = cpu_of(connection)
            done = duty(connection, around, now)
            took.cpu_s += cpu_of(connection) - served
        took.done += done
        if not done:
            took.seconds = time.perf_counter() - begun
            took.cpu_s += time.process_time() - own
            return took


def cpu_of(connection: Connection) -> float:
    """Seconds of a processor that the server's process behind the connection took so far."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(size: int) -> dict[str, Any]:
    """One size in a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder))
        database = open_database(workspace)
        try:
            return _measured(database, workspace, size)
        finally:
            database.dispose()
            embedded.destroy(workspace)


def _measured(database: Database, workspace: Workspace, size: int) -> dict[str, Any]:
    around = Circumstances.of(workspace)
    with database.begin() as connection:
        for statement in (_CUSTOMERS, _CONSENTS, _SUPPRESSIONS, _ACTIVITIES):
            connection.execute(text(statement), {"size": size} if ":size" in statement else {})
        analyze(connection, "customer", "consent", "suppression", "activity")
        standing = versions.store(connection, versions.pin(files.load(workspace), "nurture"), _START)
        records.register(connection, "nurture", standing.id, _START)
    entering = until_rest(database, around, looking.look, _START)
    due_at = _START + timedelta(days=3)
    with database.begin() as connection:
        connection.execute(text(_SPREAD), {"due": due_at, "later": due_at + timedelta(days=30), "size": size})
    with database.link() as connection:
        connection.execute(text("VACUUM ANALYZE enrolment"))
    tick = until_rest(database, around, engine.advance, due_at)
    with database.begin() as connection:
        messages = connection.execute(text("SELECT count(*) FROM message")).scalar_one()
        moved = connection.execute(text("SELECT count(*) FROM enrolment WHERE step = 'rest'")).scalar_one()
    assert (tick.done, messages, moved) == (size // 10,) * 3, (tick.done, messages, moved)
    return {
        "enrolments": entering.done, "due": tick.done,
        "entering_s": round(entering.seconds, 2), "entering_cpu_us_each": round(entering.cpu_s / size * 1e6, 1),
        "tick_s": round(tick.seconds, 2), "tick_cpu_s": round(tick.cpu_s, 2),
        "tick_cpu_us_each": round(tick.cpu_s / tick.done * 1e6, 1),
    }  # fmt: skip


def main() -> None:
    """Every size, printed as it comes, and kept in bench/results/sequences.json."""
    by_size("sequences", lambda size: [measure(size)], (10_000, 100_000, 1_000_000))


if __name__ == "__main__":
    main()
