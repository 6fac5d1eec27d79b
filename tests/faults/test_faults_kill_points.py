"""A worker killed by `kill -9` at each of the five points of a hand-over (S-1.34). Nobody is lost, nobody mailed twice.

Nothing waits for a moment to pass: the mail server says when its connections have come to the point. Leases are
expired in the database instead of waited for.
"""

import contextlib

import psycopg
import pytest

from tests.campaign_files import FILES, TEMPLATE
from tests.faults.holding_server import Point, holding
from tests.faults.workplace import kill
from tests.processes import clarion, wait_for

pytestmark = pytest.mark.faults
#: Of the workspace's transport.
CONNECTIONS = 4
AUDIENCE = 12
#: More than the two kernels keep of a message that is not read on: its end cannot have left the worker.
LONG = TEMPLATE.replace("</body>", "<p>" + "Paper, envelopes and ink. " * 15_000 + "</p></body>")


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
    """The worker is killed with all its connections at the point; before MAIL there is only one yet."""
    server.wait_for_held(1 if point is Point.BEFORE_MAIL else CONNECTIONS)
    if point is not Point.AFTER_ANSWER:
        kill(worker)
        return
    with _answers_never_committed(workplace):
        server.answer_held()
        wait_for(lambda: _somebody_waits(workplace), "the worker to record the answers")
        kill(worker)


@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_bulk_is_never_sent_twice_wherever_its_worker_is_killed(make_workplace, point):
    """
    Another worker sends what was not handed over; what was is `unknown`, one per connection, and never sent by itself.
    """
    files = FILES | {"templates/spring-paper.html": LONG} if point is Point.MID_BODY else FILES
    with holding(point) as server:
        workplace = make_workplace(server.port, AUDIENCE, files)
        with workplace.worker() as worker:
            workplace.send()
            _strike(workplace, server, point, worker)
        server.disarm()
        with workplace.worker():
            workplace.settle()

    was_handed_over = point in (Point.MID_BODY, Point.BEFORE_ANSWER, Point.AFTER_ANSWER)
    in_doubt = CONNECTIONS if was_handed_over else 0
    lost_on_the_way = CONNECTIONS if point is Point.MID_BODY else 0
    assert {"accepted": AUDIENCE - in_doubt} | ({"unknown": in_doubt} if in_doubt else {}) == workplace.counts()
    assert len(set(server.recipients)) == len(server.recipients) == AUDIENCE - lost_on_the_way
    clarion(workplace.workspace, "status", "--check")
