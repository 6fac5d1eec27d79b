"""A worker killed by `kill -9` at each of the five points of a hand-over: nobody lost, nobody twice (S-1.34, S-8.9).

Nothing waits for a moment to pass: the mail server says when its connections have come to the point. Leases are
expired in the database instead of waited for.
"""

import contextlib
from collections import Counter

import psycopg
import pytest

from campaigns import catalogue
from campaigns.transactional import post, standing
from core.clock import SystemClock
from suppression.gate import TRANSACTIONAL
from tests.campaign_files import FILES, TEMPLATE
from tests.faults.holding_server import Point, holding
from tests.faults.recording_server import write_outcomes
from tests.faults.workplace import kill
from tests.processes import clarion, wait_for
from tests.transactional_files import FILES as RECEIPT

pytestmark = pytest.mark.faults
#: Of the workspace's transport.
CONNECTIONS = 4
AUDIENCE = 12
#: Where the ledger has a message on every connection as handed over, and where the server has taken these.
HANDED_OVER = {Point.MID_BODY, Point.BEFORE_ANSWER, Point.AFTER_ANSWER}
TAKEN = {Point.BEFORE_ANSWER, Point.AFTER_ANSWER}


def _long(template):
    """More than the two kernels keep of a message that is not read on: its end cannot have left the worker."""
    return template.replace("</body>", "<p>" + "Paper, envelopes and ink. " * 15_000 + "</p></body>")


@contextlib.contextmanager
def _answers_never_committed(workplace):
    """While the block runs the ledger takes no answer of what was handed over; then whoever waited is thrown out."""
    with psycopg.connect(workplace.database.url) as locking:
        locking.execute("SELECT id FROM message WHERE state = 'handed_over' FOR UPDATE")
        yield
        waiting = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        locking.execute(waiting)
        locking.rollback()


def _somebody_waits(workplace):
    return bool(workplace.scalar("SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"))


def _strike(workplace, server, point, worker):
    """The worker is killed when all its connections are held at the point."""
    # Before MAIL there is one only: the others are opened when the first has found all well.
    server.wait_for_held(1 if point is Point.BEFORE_MAIL else CONNECTIONS)
    if point is not Point.AFTER_ANSWER:
        kill(worker)
        return
    with _answers_never_committed(workplace):
        server.answer_held()
        wait_for(lambda: _somebody_waits(workplace), "the worker to record the answers")
        kill(worker)


@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_bulk_is_never_sent_twice_wherever_its_worker_is_killed(make_workplace, tmp_path, point):
    """
    Another worker sends what was not handed over; what was is `unknown`, one per connection, and never sent by itself.
    The server's own record settles it: what the server never took is sent then, what it took is not.
    """
    files = FILES | {"templates/spring-paper.html": _long(TEMPLATE)} if point is Point.MID_BODY else FILES
    with holding(point) as server:
        workplace = make_workplace(server.port, AUDIENCE, files)
        with workplace.worker() as worker:
            workplace.send()
            _strike(workplace, server, point, worker)
        server.disarm()
        with workplace.worker():
            workplace.settle()
            by_itself, sent = workplace.counts(), list(server.recipients)
            write_outcomes(tmp_path / "taken.csv", [mail.message_id for mail in server.taken])
            workplace.reconcile("--outcomes", str(tmp_path / "taken.csv"), "--complete")
            workplace.settle()

    in_doubt = CONNECTIONS if point in HANDED_OVER else 0
    lost_on_the_way = CONNECTIONS if point is Point.MID_BODY else 0
    assert {"accepted": AUDIENCE - in_doubt} | ({"unknown": in_doubt} if in_doubt else {}) == by_itself
    assert len(set(sent)) == len(sent) == AUDIENCE - lost_on_the_way
    assert {"accepted": AUDIENCE} == workplace.counts()
    assert len(set(server.recipients)) == len(server.recipients) == AUDIENCE
    clarion(workplace.workspace, "status", "--check")


def _order(workplace, count):
    """So many people are owed a receipt, each."""
    now = SystemClock().now()
    with workplace.database.begin() as connection:
        receipt = standing(connection, catalogue.load(workplace.workspace), "receipt")
        for number in range(1, count + 1):
            given = {"order_number": f"A-{number}", "total": "12,00 €"}
            post(connection, receipt, number, key=f"order-{number}", given=given, now=now)
    workplace.tell()


@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_what_is_owed_is_never_lost_wherever_its_worker_is_killed(make_workplace, point):
    """
    Nobody stays in doubt: what had been handed over is sent again. Two copies reach a server only where it had taken
    the first without a word that was recorded, and they are the same, byte by byte.
    """
    files = RECEIPT
    if point is Point.MID_BODY:
        files = files | {"templates/receipt.html": _long(files["templates/receipt.html"])}
    with holding(point) as server:
        workplace = make_workplace(server.port, AUDIENCE, files)
        # One process: it finds all orders waiting and takes them on one trip, over all its connections.
        with workplace.worker(queue=TRANSACTIONAL) as worker:
            _order(workplace, AUDIENCE)
            _strike(workplace, server, point, worker)
            in_doubt, taken = workplace.people("handed_over"), set(server.recipients)
        server.disarm()
        with workplace.worker():
            workplace.settle()

    everybody = workplace.people("accepted")
    assert AUDIENCE == len(everybody)
    assert (CONNECTIONS if point in HANDED_OVER else 0) == len(in_doubt)
    assert (in_doubt if point in TAKEN else set()) == taken
    assert {address: 2 if address in taken else 1 for address in everybody} == Counter(server.recipients)
    assert AUDIENCE == len({(mail.message_id, mail.content) for mail in server.taken})
    clarion(workplace.workspace, "status", "--check")
