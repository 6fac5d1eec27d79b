"""What is owed to one person is never behind bulk mail: real workers, a real broker, a real database."""

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import time

import psutil
import pytest
from sqlalchemy import insert, select, text

from campaigns import catalogue as files
from campaigns.transactional import post, standing
from core import embedded, schema
from core.clock import SystemClock
from core.database import analyze, open_database
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import key_of
from tests.integration.test_campaigns_sending import serving
from tests.processes import answers, clarion, clarion_json, clarion_process, free_port, started, wait_for
from tests.smtp_server import After
from tests.transactional_files import FILES

ANN = "ann@firm.example"
_PEOPLE = """
    INSERT INTO customer (id, external_id, email, address_key, first_name)
    SELECT n, 'C' || n, 'p' || n || '@bulk.example', md5(n::text)::uuid, 'Name' || n
    FROM generate_series(1, CAST(:number AS int)) n
"""
_AGREED = """
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, 'promotions', 'granted', 'consent', 'test', '2025-01-01' FROM customer WHERE id <= :number
"""


def _populate(database, number):
    """So many people who agreed, and Ann, who did not; her number is returned."""
    with database.begin() as connection:
        for statement in (_PEOPLE, _AGREED):
            connection.execute(text(statement), {"number": number})
        ann = {"id": number + 1, "external_id": "ann", "email": ANN, "address_key": key_of(ANN), "first_name": "Ann"}
        connection.execute(insert(schema.customer).values(ann))
        analyze(connection, "customer", "consent")
    return number + 1


def _orders(database, workspace, customer_id, number, *, every_s=0.0):
    """Orders for the customer, one by one: message ids, and when each was committed."""
    catalogue, clock = files.load(workspace), SystemClock()
    with database.begin() as connection:
        of = standing(connection, catalogue, "receipt")
    committed = {}
    for count in range(number):
        due = time.monotonic() + every_s
        given = {"order_number": str(count), "total": "12 €"}
        with database.begin() as connection:
            posted = post(connection, of, customer_id, key=f"order-{count}", given=given, now=clock.now())
        committed[posted.message_id] = clock.now()
        time.sleep(max(0.0, due - time.monotonic()))
    return committed


def _states(database, message_ids):
    with database.begin() as connection:
        wanted = select(schema.message.c.state).where(schema.message.c.id.in_(message_ids))
        return set(connection.execute(wanted).scalars())


def test_what_is_owed_goes_while_every_bulk_process_waits(make_workspace, database, broker):
    """
    All processes for bulk hang on a slow server: orders are accepted meanwhile by the one kept for them; then the
    bulk run ends too, and both ledgers balance.
    """
    ann = _populate(database, 2000)
    released = asyncio.Event()
    slow = After(released, b"250 2.1.5 recipient ok")
    script = {"recipient": lambda talk: slow if "@bulk.example" in talk.commands[-1] else None}
    with serving(script) as server:
        workspace = make_workspace(database=database, broker=broker, smtp_port=server.port, files=FILES)
        clarion(workspace, "send", "spring-paper", "--yes")
        worker = clarion_process(workspace, "worker", "--processes", "2", present="worker")
        scheduler = clarion_process(workspace, "scheduler", present="scheduler")
        with worker, scheduler:
            wait_for(lambda: len({talk.number for talk in server.conversations}) == 8, "both processes to be held up")
            owed = list(_orders(database, workspace, ann, 10))
            wait_for(lambda: _states(database, owed) == {"accepted"}, "the orders to be accepted")
            before = clarion_json(workspace, "status", "spring-paper")
            server._server.get_loop().call_soon_threadsafe(released.set)
            wait_for(lambda: clarion_json(workspace, "status", "spring-paper")["state"] == "finished", "the run to end")
            typed = clarion_json(
                workspace, "send", "receipt", "--to", ANN, "--key", "order-9", "--given", "order_number=9",
                "--given", "total=0", "--wait",
            )  # fmt: skip
            clarion(workspace, "status", "--check")

        assert ("running", 0) == (before["state"], before["accepted"])
        assert {"message": owed[-1], "is_new": False, "state": "accepted"}.items() <= typed.items()
        assert 2000 + 10 == len({(mail.recipients, mail.content) for mail in server.received})
    receipt = clarion_json(workspace, "status", "receipt")
    assert ("running", 10, 10) == (receipt["state"], receipt["audience"], receipt["accepted"])


def test_a_worker_and_its_companion_end_together(make_workspace, database, broker):
    """
    A companion that is killed comes back; one whose worker is killed ends; a worker that ends takes it along.
    """
    workspace = make_workspace(database=database, broker=broker, files=FILES)

    def companion(process):
        alive = [it for it in psutil.Process(process.pid).children() if it.status() != psutil.STATUS_ZOMBIE]
        return next((it for it in alive if "--beside" in it.cmdline()), None)

    with clarion_process(workspace, "worker", "--processes", "1", present="worker") as process:
        wait_for(lambda: companion(process) is not None, "a companion")
        first = companion(process)
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: (now := companion(process)) is not None and now.pid != first.pid, "another companion")
        second = companion(process)
        wait_for(lambda: len(second.children()) == 1, "its one process")
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not second.is_running(), "it to notice")
    with clarion_process(workspace, "worker", "--processes", "1", present="worker") as process:
        wait_for(lambda: companion(process) is not None, "a companion")
        third = companion(process)
    assert not third.is_running()


@contextlib.contextmanager
def _sink(folder):
    """A mail server that takes everything: Postfix's smtp-sink where there is one; its port."""
    port = free_port()
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        command = ["-m", "demo.inbox", "--port", str(port), "--store", str(folder)]
        with started(command, folder.parent / "inbox.log", ready=lambda: answers(port)):
            yield port
        return
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *as_user, "-m", "1000", f"127.0.0.1:{port}", "1000"]) as process:
        try:
            wait_for(lambda: answers(port), "smtp-sink")
            yield port
        finally:
            process.terminate()


def _legs(database, workspace, committed):
    """Of each order the seconds from its commit until it was told, claimed and accepted."""
    told = text("""
        SELECT m.id, b.published_at, b.lease_until - :lease AS claimed_at, m.accepted_at
        FROM message m JOIN batch b ON m.id = ANY(b.message_ids) AND b.queue = 'transactional' WHERE m.id = ANY(:ids)
    """)
    lease = workspace.settings.workers.lease
    with database.begin() as connection:
        rows = connection.execute(told, {"ids": list(committed), "lease": lease}).all()
    return [
        # One that was brought along by an earlier one's batch was told before it was there.
        tuple(
            max(0.0, (at - committed[row.id]).total_seconds())
            for at in (row.published_at, row.claimed_at, row.accepted_at)
        )
        for row in rows
    ]


def _figures(name, seconds):
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    return f"{name:<22} p50 {statistics.median(ordered):6.3f} s   p95 {p95:6.3f} s   max {ordered[-1]:6.3f} s", p95


@pytest.mark.slow
def test_an_order_is_accepted_within_two_seconds_beside_200_000(make_workspace, tmp_path, capsys):
    """
    While 200,000 bulk messages go out through `clarion up`, 95 of 100 orders are accepted 2 s after their commit.
    """
    store = tmp_path / "store"
    store.mkdir()
    settings = MINIMAL_SETTINGS.replace("connections: 4", "connections: 20")
    settings += f"web: {{{{host: 127.0.0.1, port: {free_port()}}}}}\n"
    with _sink(store) as port:
        workspace = make_workspace(files=FILES, settings=settings, smtp_port=port)
        try:
            database = open_database(workspace)
            ann = _populate(database, 200_000)
            clarion(workspace, "up", "--detach")
            clarion(workspace, "send", "spring-paper", "--yes")
            begun = time.monotonic()
            wait_for(lambda: clarion_json(workspace, "status", "spring-paper")["accepted"] > 0, "bulk to go")
            committed = _orders(database, workspace, ann, 200, every_s=0.1)
            during, lasted = clarion_json(workspace, "status", "spring-paper"), time.monotonic() - begun
            wait_for(lambda: _states(database, list(committed)) == {"accepted"}, "the orders to be accepted")
            legs = _legs(database, workspace, committed)
            database.dispose()
        finally:
            clarion(workspace, "down", expect=None)
            embedded.destroy(workspace)

    names = ("commit to told", "commit to claimed", "commit to accepted")
    figures = [_figures(name, [leg[at] for leg in legs]) for at, name in enumerate(names)]
    with capsys.disabled():
        print(f"\nbulk meanwhile: {during['accepted']:,} of 200,000 accepted in {lasted:.1f} s")
        print("\n".join(line for line, _ in figures))
    assert 200 == len(legs)
    assert "running" == during["state"]
    assert figures[-1][1] < 2
