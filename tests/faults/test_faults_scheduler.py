"""Schedulers that stand still, or die, amid a duty: the next one leads, and nothing is done twice (S-8.8)."""

import contextlib
import os
import signal
import time
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import insert, text

from campaigns import catalogue
from campaigns.sequences import records, versions
from core import schema
from core.clock import SystemClock
from tests.campaign_files import FILES, campaign_file
from tests.faults.holding_server import holding
from tests.faults.workplace import CAMPAIGN, kill
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.processes import clarion_process, wait_for
from tests.sequence_files import FILES as SEQUENCE_FILES
from workers.leading import LEASE_S

pytestmark = pytest.mark.faults
AUDIENCE = 40
EVERY_MINUTE = campaign_file(kind="recurring", schedule='{cron: "* * * * *"}')


@pytest.fixture
def place(make_workplace):
    """A workplace whose campaign comes every minute, the last time just now, and whose letters nobody sends."""
    with holding() as server:
        place = make_workplace(server.port, AUDIENCE, FILES | {f"campaigns/{CAMPAIGN}.yaml": EVERY_MINUTE})
        clock = SystemClock()
        apply_of(place.workspace, place.database, clock, plan_of(place.workspace, place.database, clock))
        yield place


@contextlib.contextmanager
def in_its_way(place):
    """Who starts the campaign waits for us in the midst of its transaction; the block is begun without a lock."""
    with psycopg.connect(place.database.url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"campaign:{CAMPAIGN}",))
        yield connection


def let_go(connection):
    connection.execute("SELECT pg_advisory_unlock_all()")


def be_due(place):
    """The campaign's last time counts."""
    place.execute("UPDATE schedule SET since = now() - interval '2 minutes'")


def is_amid_a_duty(place):
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'clarion scheduler ticks' AND wait_event_type = 'Lock'
    """
    return place.scalar(waiting) == 1


def leads(place, process):
    holder = str(place.scalar("SELECT holder FROM leader"))
    return holder.endswith(f" {process.pid}")


def run_count(place):
    return int(place.scalar("SELECT count(*) FROM run"))


def has_noticed(place):
    """A scheduler that led says that it does no more: its connection is gone, or a duty of it was refused."""
    log = (place.workspace.root / "scheduler.log").read_text(encoding="utf-8")
    return "the database went away" in log or "this one stands by" in log


def assert_nothing_was_done_twice(place):
    """One run for each time that came, of the whole audience, each person once."""
    assert place.scalar("SELECT count(*) FROM run") == place.scalar("SELECT count(*) FROM schedule_tick")
    assert place.scalar("SELECT count(*) FROM run") == place.scalar("SELECT count(DISTINCT occurrence) FROM run")
    per_run = "SELECT count(*) FROM message GROUP BY run_id HAVING count(*) <> count(DISTINCT customer_id)"
    assert place.scalar(f"SELECT count(*) FROM ({per_run}) AS twice") == 0
    assert place.scalar("SELECT min(audience) FROM run HAVING min(audience) = max(audience)") == AUDIENCE
    in_batches = "SELECT unnest(message_ids) AS id FROM batch"
    assert place.scalar(f"SELECT count(*) = count(DISTINCT id) FROM ({in_batches}) AS sent") is True


def test_a_leader_that_stood_still_amid_a_duty_does_nothing_when_it_wakes(place):
    """
    SIGSTOP for twice the lease amid the start of a run: another scheduler leads and starts the run; after SIGCONT
    the old one notices, writes nothing, and stands by until it is needed.
    """
    with clarion_process(place.workspace, "scheduler", present="scheduler") as old:
        wait_for(lambda: leads(place, old), "the first election")
        with in_its_way(place) as ours, clarion_process(place.workspace, "scheduler", present="scheduler") as new:
            be_due(place)
            wait_for(lambda: is_amid_a_duty(place), "the old leader to come to the campaign")
            os.killpg(old.pid, signal.SIGSTOP)
            stopped_at = time.monotonic()
            let_go(ours)  # its statement ends; its transaction stays open, with all it locked
            wait_for(lambda: leads(place, new), "another one to lead")
            elected_s = time.monotonic() - stopped_at
            wait_for(lambda: run_count(place) >= 1, "the new leader to start the run")
            started_s = time.monotonic() - stopped_at
            wait_for(lambda: time.monotonic() > stopped_at + 2 * LEASE_S, "twice the lease")
            os.killpg(old.pid, signal.SIGCONT)
            wait_for(lambda: has_noticed(place), "the old leader to notice")
            count = run_count(place)
            wait_for(lambda: run_count(place) > count, "the next minute's run", timeout_s=90)
            assert leads(place, new)
            kill(new)
            wait_for(lambda: leads(place, old), "the old one to lead again")
        count = run_count(place)
        wait_for(lambda: run_count(place) > count, "a run of the old one's", timeout_s=90)

    print(f"\nanother led {elected_s:.1f} s after SIGSTOP, and had started the run after {started_s:.1f} s")
    assert elected_s < 1.5 * LEASE_S + 5
    assert 3 == place.scalar("SELECT epoch FROM leader")
    assert_nothing_was_done_twice(place)


def test_a_leader_killed_amid_a_duty_leaves_nothing_half_done(place):
    """
    kill -9 in the midst of starting a run: nothing of it is kept, and the next scheduler starts it whole.
    """
    with clarion_process(place.workspace, "scheduler", present="scheduler") as old:
        wait_for(lambda: leads(place, old), "the first election")
        with in_its_way(place) as ours:
            be_due(place)
            wait_for(lambda: is_amid_a_duty(place), "the leader to come to the campaign")
            kill(old)
            let_go(ours)
    assert 0 == run_count(place)
    with clarion_process(place.workspace, "scheduler", present="scheduler"):
        wait_for(lambda: run_count(place) >= 1, "the run")

    assert 2 == place.scalar("SELECT epoch FROM leader")
    assert_nothing_was_done_twice(place)


def test_what_is_owed_is_told_while_a_duty_lasts(place):
    """
    While a duty takes its time, a transactional batch that is ordered is told to workers at once.
    """
    with clarion_process(place.workspace, "scheduler", present="scheduler") as leader:
        wait_for(lambda: leads(place, leader), "the election")
        with in_its_way(place) as ours:
            be_due(place)
            wait_for(lambda: is_amid_a_duty(place), "the leader to come to the campaign")
            lengths = [_told_after(place) for _ in range(10)]
            assert is_amid_a_duty(place)
            let_go(ours)
        wait_for(lambda: run_count(place) >= 1, "the run")

    print(f"\ntold after {max(lengths).total_seconds():.2f} s at most")
    assert max(lengths) < timedelta(seconds=2)


#: Who comes to a sequence at one moment.
CROWD = 100_000
SENT = "SELECT count(*) FROM enrolment_step WHERE step = 'hello'"


def at_the_door(make_workplace, port, count):
    """A workplace where so many people are about to enter a sequence."""
    place = make_workplace(port, count, SEQUENCE_FILES)
    now = SystemClock().now()
    with place.database.begin() as connection:
        standing = versions.store(connection, versions.pin(catalogue.load(place.workspace), "nurture"), now)
        records.register(connection, "nurture", standing.id, now)
    return place


def is_at_work(place):
    """A duty's transaction is under way."""
    at_work = """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'clarion scheduler ticks' AND xact_start < clock_timestamp() - interval '20 ms'
    """
    return place.scalar(at_work) > 0


@pytest.mark.parametrize("strike", [signal.SIGSTOP, signal.SIGKILL])
def test_steps_of_a_sequence_are_done_once_whatever_becomes_of_the_leader(make_workplace, strike):
    """
    The leader is struck amid the passage of 30,000 people; another one goes on. Everybody is enrolled once, and has one
    message, in one batch; also after the first one woke up.
    """
    count = 30_000
    with holding() as server:
        place = at_the_door(make_workplace, server.port, count)
        with (
            clarion_process(place.workspace, "scheduler", present="scheduler") as old,
            clarion_process(place.workspace, "scheduler", present="scheduler") as new,
        ):
            wait_for(lambda: leads(place, old) or leads(place, new), "an election")
            first, second = (old, new) if leads(place, old) else (new, old)
            wait_for(lambda: place.scalar(SENT) > 0 and is_at_work(place), "a duty amid the steps")
            os.killpg(first.pid, strike)
            struck_at, before = time.monotonic(), place.scalar(SENT)
            wait_for(lambda: leads(place, second), "another one to lead")
            wait_for(lambda: place.scalar(SENT) == count, "everybody's first mail", timeout_s=240)
            if strike == signal.SIGSTOP:
                wait_for(lambda: time.monotonic() > struck_at + 2 * LEASE_S, "twice the lease")
                os.killpg(first.pid, signal.SIGCONT)
                wait_for(lambda: has_noticed(place), "the old leader to notice")
            assert leads(place, second)

    print(f"\nstruck after {before:,} of {count:,} steps")
    assert 2 == place.scalar("SELECT epoch FROM leader")
    assert count == place.scalar("SELECT count(DISTINCT customer_id) FROM enrolment")
    assert count == place.scalar("SELECT count(*) FROM enrolment")
    assert count == place.scalar("SELECT count(*) FROM message") == place.scalar(SENT)
    in_batches = "SELECT unnest(message_ids) AS id FROM batch"
    assert place.scalar(f"SELECT count(*) = count(DISTINCT id) AND count(*) = {count} FROM ({in_batches}) AS s") is True


def test_what_is_owed_is_told_while_a_crowd_passes_a_sequence(make_workplace):
    """
    While 100,000 people are enrolled and sent their first mail, no transactional batch waits two seconds to be told.
    """
    with holding() as server:
        place = at_the_door(make_workplace, server.port, CROWD)
        with clarion_process(place.workspace, "scheduler", present="scheduler"):
            wait_for(lambda: place.scalar("SELECT count(*) FROM enrolment") > 0, "the first people to enter")
            lengths, begun = [_told_after(place)], time.monotonic()
            while place.scalar(SENT) < CROWD:
                assert time.monotonic() < begun + 300
                lengths.append(_told_after(place))
            tick_s = time.monotonic() - begun

    lengths.sort()
    median, most = lengths[len(lengths) // 2].total_seconds(), lengths[-1].total_seconds()
    print(
        f"\n{CROWD:,} people in {tick_s:.1f} s; {len(lengths)} batches told after {median:.2f} s, {most:.2f} s at most"
    )
    assert most < 2


def _told_after(place):
    """How long a batch of one message that is owed waited until workers were told of it."""
    now = SystemClock().now()
    with place.database.begin() as connection:
        version = connection.execute(text("SELECT max(id) FROM campaign_version")).scalar_one()
        run = {"campaign": "receipt", "version_id": version, "step": "send", "occurrence": str(now.timestamp())}
        run |= {"state": "running", "digest": "", "starts_at": now, "open_ended": True}
        run_id = connection.execute(insert(schema.run).values(run).returning(schema.run.c.id)).scalar_one()
        row = {"run_id": run_id, "message_ids": [1], "not_before": now, "queue": "transactional"}
        batch_id = connection.execute(insert(schema.batch).values(row).returning(schema.batch.c.id)).scalar_one()
        connection.execute(text("NOTIFY clarion_work"))
    query = f"SELECT published_at FROM batch WHERE id = {batch_id}"
    wait_for(lambda: place.scalar(query) is not None, "the batch to be told")
    return place.scalar(query) - now
