"""Workers told to stop, campaigns told to pause, and processes that slept through their lease."""

import os
import signal
import time

import pytest

from tests.faults.holding_server import Point, holding
from tests.processes import clarion, clarion_process, wait_for

pytestmark = pytest.mark.faults
AUDIENCE = 1200
#: Of a server that answers so late that the audience takes about twelve seconds over four connections.
THINKS_S = 0.04


def _nothing_is_held(workplace):
    return workplace.scalar("SELECT count(*) FROM batch WHERE state = 'claimed'") == 0


def _accepted(workplace):
    return workplace.counts().get("accepted", 0)


def test_a_worker_told_to_stop_answers_for_its_window_and_gives_the_rest_back(make_workplace):
    """
    After SIGTERM it is gone within seconds: nobody is in doubt, the rest is planned, and another worker goes on.
    """
    with holding(thinks_s=THINKS_S) as server:
        workplace = make_workplace(server.port, AUDIENCE)
        with workplace.worker() as worker:
            workplace.send()
            wait_for(lambda: _accepted(workplace) > 20, "the first windows")
            begin = time.monotonic()
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait(20)
            seconds = time.monotonic() - begin
        stopped = workplace.counts()
        server.thinks_s = 0
        with workplace.worker():
            workplace.settle()

    print(f"\nSIGTERM to exit: {seconds:.1f} s, {stopped}")
    assert 0 == worker.returncode
    assert seconds < 5
    assert {"accepted", "planned"} == set(stopped)
    assert {"accepted": AUDIENCE} == workplace.counts()
    assert len(server.recipients) == len(set(server.recipients)) == AUDIENCE


def test_a_pause_holds_within_seconds_and_a_resumed_run_mails_nobody_twice(make_workplace):
    """
    Two seconds after `clarion pause` no worker has anything in hand; after `resume` the rest goes, each once.
    """
    with holding(thinks_s=THINKS_S) as server:
        workplace = make_workplace(server.port, AUDIENCE)
        with workplace.worker(processes=2):
            workplace.send()
            wait_for(lambda: _accepted(workplace) > 20, "the first windows")
            clarion(workplace.workspace, "pause", "spring-paper")
            wait_for(lambda: _nothing_is_held(workplace), "the workers to let go", timeout_s=2)
            paused, taken = workplace.counts(), len(server.taken)
            server.thinks_s = 0
            clarion(workplace.workspace, "resume", "spring-paper")
            workplace.settle()

    assert {"accepted": taken, "planned": AUDIENCE - taken} == paused
    assert {"accepted": AUDIENCE} == workplace.counts()
    assert len(server.recipients) == len(set(server.recipients)) == AUDIENCE


def test_a_cancel_is_final(make_workplace):
    """
    Two seconds after `clarion cancel` no worker has anything in hand; the rest is skipped, and no resume revives it.
    """
    with holding(thinks_s=THINKS_S) as server:
        workplace = make_workplace(server.port, AUDIENCE)
        with workplace.worker(processes=2):
            workplace.send()
            wait_for(lambda: _accepted(workplace) > 20, "the first windows")
            clarion(workplace.workspace, "cancel", "spring-paper", "--yes")
            wait_for(lambda: _nothing_is_held(workplace), "the workers to let go", timeout_s=2)
            clarion(workplace.workspace, "resume", "spring-paper", expect=1)
            workplace.settle()

    taken = len(server.taken)
    assert {"accepted": taken, "skipped": AUDIENCE - taken} == workplace.counts()
    assert {"cancelled": AUDIENCE - taken} == workplace.status()["skipped"]


def test_a_worker_that_slept_through_its_lease_sends_nothing_of_what_another_has(make_workplace):
    """
    A worker stopped with envelopes open, its batch sent by another in the meantime, writes no final dot when it wakes.
    """
    with holding(Point.AFTER_RECIPIENT) as server:
        workplace = make_workplace(server.port)
        with workplace.worker() as asleep:
            workplace.send()
            server.wait_for_held(4)
            os.killpg(asleep.pid, signal.SIGSTOP)
            try:
                server.point = None
                with workplace.worker():
                    workplace.settle()
                    by_the_other = list(server.recipients)
            finally:
                os.killpg(asleep.pid, signal.SIGCONT)
            server.answer_held()
            os.kill(asleep.pid, signal.SIGTERM)
            asleep.wait(20)

    assert 12 == len(set(by_the_other))
    assert by_the_other == server.recipients
    assert {"accepted": 12} == workplace.counts()


def _leader(workplace):
    """The server process that holds the leader's lock; None while nobody leads."""
    return workplace.scalar(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1129075523 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )


def test_a_leader_that_slept_is_replaced_and_does_no_harm_when_it_wakes(make_workplace):
    """
    A scheduler stopped for longer than its lease loses the lead; both awake, everybody still gets one mail.
    """
    with holding() as server:
        workplace = make_workplace(server.port)
        first = clarion_process(workplace.workspace, "scheduler", present="scheduler")
        second = clarion_process(workplace.workspace, "scheduler", present="scheduler")
        with first as asleep, second, workplace.worker(processes=2):
            wait_for(lambda: _leader(workplace) is not None, "a leader")
            before = _leader(workplace)
            os.killpg(asleep.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: _leader(workplace) not in (None, before), "another leader")
                clarion(workplace.workspace, "send", "spring-paper", "--yes")
                wait_for(lambda: server.taken, "the new leader to tell a worker")
            finally:
                os.killpg(asleep.pid, signal.SIGCONT)
            wait_for(lambda: {"accepted": 12} == workplace.counts(), "everybody's mail")

    assert 12 == len(server.recipients) == len(set(server.recipients))
    assert "the database went away" in (workplace.workspace.root / "scheduler.log").read_text()
