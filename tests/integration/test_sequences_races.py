"""Nobody does a step twice: when ticks overlap, a worker is killed, somebody opts out or pauses at that instant."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from campaigns import batches, ledger
from campaigns.control import order
from campaigns.duty import Circumstances
from campaigns.sequences import engine, enrol, looking, overview
from suppression.gate import UNSUBSCRIBED
from tests.factories import make_activity, make_customer, make_suppression
from tests.sequence_files import Road, sequence

STEPS = """
hello: {send: {template: spring-paper.html}}
ring: {task: {title: Call them}}
pause: {wait: 3d}
again: {send: {template: reminder.html}}
"""
PEOPLE = 120


@pytest.fixture
def way(make_workspace, database, clock):
    """A sequence, and people of its segment who have not entered yet."""
    road = Road(make_workspace, database, clock, sequence(STEPS))
    with database.begin() as connection:
        for _ in range(PEOPLE):
            make_customer(connection, consents=("promotions",))
    return road


def balanced(way):
    """The rules of the sequence and of its runs that do not hold."""
    with way.database.begin() as connection:
        runs = overview.runs_of(connection, "nurture")
        return overview.broken(connection, "nurture") + [rule for run in runs for rule in run.broken]


def test_ticks_that_overlap_do_each_step_once(way, monkeypatch):
    """
    Four processes' worth of ticks at once, in small bites: each passage has each step, message and task once.
    """
    monkeypatch.setattr(engine, "AT_ONCE", 7)
    monkeypatch.setattr(engine, "_FEWEST", 7)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: way.tick(), range(4)))
    way.clock.step(timedelta(days=3))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: way.tick(), range(4)))
    way.tick()

    assert {"hello": PEOPLE, "ring": PEOPLE, "pause": PEOPLE, "again": PEOPLE} == Counter(
        step for step, _ in way.done()
    )
    assert {("hello", None): PEOPLE, ("again", None): PEOPLE} == Counter((step, why) for step, _, why in way.messages())
    assert [(PEOPLE,)] == [tuple(row) for row in way.rows("SELECT count(*) FROM task")]
    assert {"completed"} == {state for _, state, *_ in way.passages()}
    assert [] == balanced(way)


KILLED = """
import sys
from datetime import datetime
from core.database import Database
from core.workspace import Workspace
from pathlib import Path
from campaigns.duty import Circumstances
from campaigns.sequences import engine, passages

write = passages.Journal.write
def stalled(journal, connection):
    write(journal, connection)  # everything is written, nothing is committed
    print("written", flush=True)
    sys.stdin.read()
passages.Journal.write = stalled
root, url, now = sys.argv[1:]
with Database(url).begin() as connection:
    engine.advance(connection, Circumstances.of(Workspace(Path(root))), datetime.fromisoformat(now))
"""


def test_a_tick_killed_in_the_middle_has_done_nothing(way):
    """
    Killed with everything written and nothing committed, it leaves no message, no task and no step; the next tick does
    all of it once.
    """
    way.tick()  # everybody enters and has had hello
    way.clock.step(timedelta(days=3))
    given = [str(way.workspace.root), way.database.url, way.clock.now().isoformat()]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert "written\n" == killed.stdout.readline()
        before = Counter(step for step, _ in way.done())
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()

    assert {"hello": PEOPLE, "ring": PEOPLE} == before
    wait_until_gone(way)
    way.tick()
    assert {"hello": PEOPLE, "ring": PEOPLE, "pause": PEOPLE, "again": PEOPLE} == Counter(
        step for step, _ in way.done()
    )
    assert 2 * PEOPLE == len(way.messages())
    assert [] == balanced(way)


def wait_until_gone(way):
    """The server has noticed that the process is gone: its locks are free."""
    with way.database.begin() as connection:
        connection.exec_driver_sql("SELECT id FROM enrolment FOR UPDATE")


def test_an_opt_out_before_the_hand_over_wins(way):
    """
    The gate is asked when the message is made, and again when a worker claims it.
    """
    way.tick()
    person = way.rows("SELECT c.id, c.email FROM customer AS c ORDER BY c.id LIMIT 1")[0]
    with way.database.begin() as connection:
        make_suppression(connection, person.email, reason=UNSUBSCRIBED)
        policy = Circumstances.of(way.workspace).policy
        due = batches.due_batches(connection, now=way.clock.now(), again_after=None)
        for batch_id, _ in due:
            ledger.claim(
                connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=policy, now=way.clock.now()
            )
    state = way.rows("SELECT state, skip_reason FROM message WHERE customer_id = :id", id=person.id)

    assert [("skipped", "suppressed:unsubscribed")] == [tuple(row) for row in state]
    assert PEOPLE - 1 == way.rows("SELECT count(*) FROM message WHERE state = 'planned'")[0][0]


def test_a_pause_waits_for_the_pass_and_stops_its_messages(way):
    """
    Ordered in the middle of a pass it takes effect when the pass is committed: what that made waits in a paused run.
    """
    started, paused = threading.Event(), threading.Event()

    def pause():
        started.wait()
        with way.database.begin() as connection:
            order(connection, "nurture", "pause", actor="test", now=way.clock.now())
        paused.set()

    around = Circumstances.of(way.workspace)
    with way.database.begin() as connection:
        looking.look(connection, around, way.clock.now())
    thread = threading.Thread(target=pause)
    thread.start()
    with way.database.begin() as connection:
        engine.advance(connection, around, way.clock.now())
        started.set()
        assert not paused.wait(0.2)
    thread.join()

    assert {("paused",)} == {tuple(row) for row in way.rows("SELECT state FROM run")}
    assert 0 == way.tick(days=4)


def test_one_person_enters_once_however_often_it_is_ordered(way):
    """
    Ordered twenty times at once under one key there is one passage.
    """
    customer_id = way.rows("SELECT min(id) FROM customer")[0][0]

    def enter(_):
        with way.database.begin() as connection:
            return enrol.enrol(connection, "nurture", customer_id, key="A-7", given={"x": 1}, now=way.clock.now())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(enter, range(20)))

    assert 1 == len({one.enrolment_id for one in found})
    assert 1 == sum(one.is_new for one in found)


def test_an_activity_is_not_lost_behind_one_that_is_committed_later(make_workspace, database, clock):
    """
    An activity with a lower number that becomes known later than its followers enrols as well, and each only once.
    """
    way = Road(make_workspace, database, clock, sequence(STEPS, enrol="{event: ordered}"))
    with database.begin() as connection:
        ann, ben = (make_customer(connection, consents=("promotions",)) for _ in range(2))
    slow = database.engine.connect()
    begun = slow.begin()
    make_activity(slow, ann, "ordered", occurred_at=clock.now())
    with database.begin() as connection:
        make_activity(connection, ben, "ordered", occurred_at=clock.now())
    way.tick()
    early = {customer for customer, *_ in way.passages()}
    begun.commit()
    slow.close()
    way.tick()

    assert ({ben}, Counter([ann, ben])) == (early, Counter(customer for customer, *_ in way.passages()))
