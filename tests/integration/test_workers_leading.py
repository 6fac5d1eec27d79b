"""One scheduler leads: a later one is not held up by what an older one left open, and the older one writes nothing."""

import logging
from collections import Counter
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from campaigns.duty import Duty
from core import schema
from core.errors import ServiceError
from core.fresh_settings import FreshWorkspace
from tests.campaign_files import FILES
from tests.processes import wait_for
from workers import duty_rounds
from workers.duty_rounds import DutyRounds
from workers.leading import Deposed, Lead


@pytest.fixture
def connect(database):
    """Opens connections such as a scheduler leads by; they are closed at the end."""
    opened = []

    def connection():
        opened.append(psycopg.connect(database.url, autocommit=True))
        return opened[-1]

    yield connection
    for one in opened:
        one.close()


def note(connection, key):
    """A write that a leader might do."""
    connection.execute(insert(schema.activity_mark).values(reader=key, activity_id=1))


def succeed(held, lead, connection):
    """Nothing is heard of the first connection any more, which the server closes; the lead is won over the other."""
    held.close()
    wait_for(lambda: lead.is_won(connection), "the lead to be free")


def notes(database):
    with database.begin() as connection:
        return sorted(connection.execute(select(schema.activity_mark.c.reader)).scalars())


def test_only_one_leads_and_each_election_has_a_higher_number(database, connect):
    """
    While the first one's connection lives nobody else is elected; the number of the lead rises with each election.
    """
    first, second = Lead(database), Lead(database)
    held, other = connect(), connect()
    numbers = []

    assert [True, False] == [first.is_won(held), second.is_won(other)]
    for lead, connection in ((second, other), (first, connect())):
        succeed(held, lead, connection)
        held = connection
        with database.begin() as reading:
            numbers.append(reading.execute(select(schema.leader.c.epoch)).scalar_one())
    assert [2, 3] == numbers


def test_an_older_leader_writes_nothing(database, connect):
    """
    S-8.8: who was elected before and knows nothing of the next election is refused at its first transaction.
    """
    old, new = Lead(database), Lead(database)
    held = connect()
    assert old.is_won(held)
    with old.begin() as connection:
        note(connection, "before")
    succeed(held, new, connect())

    with pytest.raises(Deposed), old.begin() as connection:
        note(connection, "after")
    assert old.is_over
    with new.begin() as connection:
        note(connection, "new")
    assert ["before", "new"] == notes(database)


def test_what_an_older_leader_left_open_is_rolled_back_at_once(database, connect):
    """
    A transaction in which an older leader stands still holds up neither the election nor the rows it locked.
    """
    old, new = Lead(database), Lead(database)
    held = connect()
    assert old.is_won(held)

    def stand_still():
        with old.begin() as connection:
            note(connection, "row")
            succeed(held, new, connect())
            with new.begin() as later:
                note(later, "row")
            note(connection, "more")

    with pytest.raises(OperationalError, match="terminating connection"):
        stand_still()

    assert ["row"] == notes(database)


def test_a_leaders_transaction_ends_when_its_process_stands_still(database, connect):
    """
    Every fenced transaction has time-outs of the server's: idle for the lease, and in all.
    """
    lead = Lead(database)
    assert lead.is_won(connect())
    with lead.begin() as connection:
        idle = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        whole = connection.exec_driver_sql("SHOW statement_timeout").scalar()

    assert ("10s", "30min") == (idle, whole)


def duty(name, run):
    return Duty(name, run, lambda *_: None)


@pytest.fixture
def rounds(make_workspace, database, clock):
    """Builds rounds of duties over a workspace."""
    workspace = make_workspace(database=database, files=FILES)

    def build(*duties, **options):
        return DutyRounds(database, FreshWorkspace(workspace), clock, duties, **options)

    return build


def test_a_duty_is_repeated_until_nothing_is_left_each_time_in_its_own_transaction(database, rounds):
    """
    What three runs did is committed run by run; the fourth finds nothing.
    """
    seen = []

    def run(connection, _circumstances, _now):
        seen.append(notes(database))
        if len(seen) == 4:
            return 0
        note(connection, f"run {len(seen)}")
        return 5

    assert 15 == rounds(duty("writer", run)).work()
    assert [[], ["run 1"], ["run 1", "run 2"], ["run 1", "run 2", "run 3"]] == seen


def damaged(_connection):
    raise ValueError("no such thing")


def too_slow(connection):
    connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
    connection.exec_driver_sql("SELECT pg_sleep(1)")


@pytest.mark.parametrize("fault", [damaged, too_slow])
def test_one_duty_at_fault_holds_up_no_other_and_rests(database, rounds, caplog, fault):
    """
    Its transaction is rolled back and its fault is logged once; the next round passes over it, for a second.
    """
    calls = []

    def fail(connection, _circumstances, _now):
        note(connection, "half done")
        fault(connection)

    def run(connection, _circumstances, _now):
        calls.append(1)
        return 0

    both = rounds(duty("faulty", fail), duty("sound", run))
    assert [0, 0] == [both.work(), both.work()]

    assert [] == notes(database)
    assert 2 == len(calls)
    assert 1 == caplog.text.count("faulty could not be looked after; it is tried again in 1 s")


def test_a_duty_that_never_goes_well_holds_up_no_other(rounds, monkeypatch):
    """
    However often it failed, the next duty is looked after, and it is tried again itself.
    """
    monkeypatch.setattr(duty_rounds, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(logging.getLogger("clarion.scheduler"), "disabled", True)
    calls = Counter()

    def fail(connection, _circumstances, _now):
        calls["faulty"] += 1
        damaged(connection)

    def run(_connection, _circumstances, _now):
        calls["sound"] += 1
        return 0

    both = rounds(duty("faulty", fail), duty("sound", run))
    for _ in range(1100):
        both.work()

    assert {"faulty": 1100, "sound": 1100} == calls


def counted(name, calls, condition, done=0):
    """A duty that counts its runs in `calls`, and does so much each time."""

    def run(_connection, _circumstances, _now):
        calls[name] += 1
        return done if calls[name] % 2 else 0

    return Duty(name, run, lambda *_: None, lambda *_: condition)


def test_a_duty_whose_condition_does_not_hold_is_run_once_a_minute_all_the_same(rounds, monkeypatch):
    """
    The first round runs every duty, and so does one a minute later; those between ask.
    """
    monkeypatch.setattr(duty_rounds, "_GOOD_FOR_S", 60.0)  # however slow the machine is
    calls = Counter()
    both = rounds(counted("idle", calls, "false"), counted("due", calls, ":now > '2001-01-01'"))
    for _ in range(5):
        both.work()

    assert {"idle": 1, "due": 5} == calls
    monkeypatch.setattr(duty_rounds, "_UNASKED_S", 0.0)
    both.work()
    assert {"idle": 2, "due": 6} == calls


def test_after_a_duty_that_did_something_the_others_are_not_asked(rounds, monkeypatch):
    """
    What it did may be what they wait for: they are run in the same round.
    """
    monkeypatch.setattr(duty_rounds, "_GOOD_FOR_S", 60.0)
    calls = Counter()
    some = rounds(
        counted("before", calls, "false"), counted("busy", calls, "true", 3), counted("after", calls, "false")
    )
    for _ in range(2):
        some.work()

    assert {"before": 1, "busy": 4, "after": 2} == calls


def test_an_answer_is_out_of_date_after_a_moment(rounds, monkeypatch):
    """
    A duty that has its turn later than that is run, whatever its condition was.
    """
    monkeypatch.setattr(duty_rounds, "_GOOD_FOR_S", -1.0)
    calls = Counter()
    one = rounds(counted("idle", calls, "false"))
    for _ in range(3):
        one.work()

    assert {"idle": 3} == calls


def test_duties_that_cannot_be_asked_are_run(rounds, caplog):
    """
    A condition that the database refuses is logged once a minute, and none of them is passed over.
    """
    calls = Counter()
    both = rounds(counted("damaged", calls, "no_such_column"), counted("idle", calls, "false"))
    for _ in range(3):
        both.work()

    assert {"damaged": 3, "idle": 3} == calls
    assert 1 == caplog.text.count("whether duties are due could not be asked")


def test_a_stopping_scheduler_begins_no_further_run(rounds):
    """
    A duty that always finds more to do is left after the run in which the order to stop came.
    """
    calls = []

    def run(_connection, _circumstances, _now):
        calls.append(1)
        return 1

    assert 3 == rounds(duty("endless", run), is_stopping=lambda: len(calls) == 3).work()


def test_a_database_that_is_away_ends_the_round(rounds):
    """
    It is told upwards at once: the next duty would fare no better.
    """

    def away(_connection, _circumstances, _now):
        raise ServiceError("PostgreSQL cannot be reached")

    with pytest.raises(ServiceError):
        rounds(duty("away", away), duty("never reached", lambda *_: pytest.fail("it was"))).work()


def test_duties_go_by_settings_as_they_are_now(rounds, make_workspace, database, clock):
    """
    A rule that is changed in clarion.yaml counts from the next round, without a new start.
    """
    workspace = make_workspace(database=database, files=FILES)
    found = []

    def run(_connection, circumstances, _now):
        found.append(circumstances.settings.workers.batch_size)
        return 0

    both = DutyRounds(database, FreshWorkspace(workspace), clock, [duty("reader", run)])
    both.work()
    path = workspace.root / "clarion.yaml"
    path.write_text(path.read_text() + "workers: {batch_size: 77}\n")
    both.work()
    clock.step(timedelta(seconds=1))

    assert [77] == found[1:]
    assert 77 != found[0]
