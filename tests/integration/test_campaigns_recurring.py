"""Recurring campaigns: one run per time, missed times by their file's rule, local times that have passed."""

import json
import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from campaigns import recurring
from campaigns.duty import Circumstances
from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.fresh_settings import FreshWorkspace
from tests.campaign_files import FILES, campaign_file
from tests.clock_changes import AROUND, CLOCK_CHANGES
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from workers.duty_rounds import DutyRounds


@pytest.fixture
def make_recurring(make_workspace, database):
    """Builds a workspace whose recurring campaigns of these schedules are applied at an instant."""

    def build(at: datetime, **schedules: str):
        files = {
            f"campaigns/{name}.yaml": campaign_file(kind="recurring", schedule=text) for name, text in schedules.items()
        }
        given = {name: text for name, text in FILES.items() if not name.startswith("campaigns/")}
        workspace = make_workspace(database=database, files=given | files)
        apply_of(workspace, database, SteppedClock(at), plan_of(workspace, database, SteppedClock(at)))
        return workspace

    return build


def tick(workspace, database, now):
    """The scheduler's round of recurring campaigns at an instant; how much was done."""
    return DutyRounds(database, FreshWorkspace(workspace), SteppedClock(now), recurring.DUTIES).work()


def occurrences(database):
    with database.begin() as connection:
        return list(connection.execute(select(schema.run.c.occurrence).order_by(schema.run.c.id)).scalars())


def coming(workspace, database, now):
    with database.begin() as connection:
        return recurring.next_at(connection, Circumstances.of(workspace), now)


def test_a_recurring_campaign_runs_once_per_time(make_recurring, database, clock):
    """
    Each nominal time gives one run; of several missed ones only the last is made up for.
    """
    workspace = make_recurring(clock.now(), weekly='{cron: "0 9 * * mon", zone: Europe/Berlin}')

    assert 0 == tick(workspace, database, clock.now())
    assert datetime(2026, 3, 9, 8, tzinfo=UTC) == coming(workspace, database, clock.now())
    clock.step(timedelta(days=15))  # two Mondays passed
    assert [1, 0] == [tick(workspace, database, clock.now()), tick(workspace, database, clock.now())]
    clock.step(timedelta(days=6))
    assert 1 == tick(workspace, database, clock.now())
    assert ["2026-03-16T08:00Z", "2026-03-23T08:00Z"] == occurrences(database)


@pytest.mark.parametrize(
    ("missed", "late", "runs"),
    [
        ("once", timedelta(days=40), 1),
        ("skip", timedelta(minutes=4), 1),
        ("skip", timedelta(minutes=6), 0),
        ("6h", timedelta(hours=6), 1),
        ("6h", timedelta(hours=6, seconds=1), 0),
    ],
)
def test_a_missed_time_is_made_up_for_as_the_file_says(make_recurring, database, missed, late, runs):
    """
    S-8.6: once however late, never, or up to an age; what is left out is in the audit log, and the next time comes.
    """
    applied, nominal = datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 4, 1, 9, tzinfo=UTC)
    workspace = make_recurring(applied, monthly=f'{{cron: "0 9 1 * *", zone: UTC, missed: {missed}}}')
    now = nominal + late

    assert [1, 0] == [tick(workspace, database, now), tick(workspace, database, now)]
    last = datetime(2026, 5, 1, 9, tzinfo=UTC) if late > timedelta(days=30) else nominal
    assert [f"{last:%Y-%m-%dT%H:%MZ}"] * runs == occurrences(database)
    with database.begin() as connection:
        told = connection.execute(select(schema.audit.c.detail).where(schema.audit.c.action == "campaign.missed"))
        assert [{"nominal": nominal.isoformat(), "missed": missed.replace("6h", "6:00:00")}] * (1 - runs) == list(
            told.scalars()
        )
    following = coming(workspace, database, now)
    assert following > now
    assert 1 == tick(workspace, database, following)


def test_one_campaigns_fault_does_not_hold_up_the_others(make_recurring, database, caplog):
    """
    A campaign whose stored version cannot be read is logged, and tried again; the one after it has its run.
    """
    applied = datetime(2026, 3, 2, 12, tzinfo=UTC)
    workspace = make_recurring(applied, damaged='{cron: "0 13 * * *"}', sound='{cron: "0 13 * * *"}')
    with database.begin() as connection:
        version = schema.campaign_version
        connection.execute(update(version).where(version.c.campaign == "damaged").values(definition={}))
    now = applied + timedelta(hours=1)

    assert 1 == tick(workspace, database, now)
    with database.begin() as connection:
        assert ["sound"] == list(connection.execute(select(schema.run.c.campaign)).scalars())
        assert ["sound"] == list(connection.execute(select(schema.schedule_tick.c.schedule)).scalars())
    assert "recurring campaign damaged could not be started" in caplog.text


def test_why_a_campaign_does_not_begin_is_in_its_status(make_recurring, database):
    """
    The fault is on the schedule until it begins: told where the campaign's run would be, and among all schedules.
    """
    applied = datetime(2026, 3, 2, 12, tzinfo=UTC)
    workspace = make_recurring(applied, weekly='{cron: "0 13 * * *"}')
    version = schema.campaign_version
    with database.begin() as connection:
        definition = connection.execute(select(version.c.definition)).scalar_one()
        connection.execute(update(version).values(definition={}))
    now = applied + timedelta(hours=1)
    tick(workspace, database, now)

    def told(*words):
        desk = Desk(workspace.root)
        done = CliRunner().invoke(clarion, ["status", *words], obj=desk)
        desk.close()
        return done.stdout if "--json" in words else done.output

    fault = "the run that is due could not be started: KeyError"
    assert fault in told("weekly")
    assert "KeyError" in told()
    assert ["KeyError"] == [row["fault"] for row in json.loads(told("--json"))["schedules"]]
    with database.begin() as connection:
        connection.execute(update(version).values(definition=definition))
    assert 1 == tick(workspace, database, now + timedelta(minutes=1))
    assert "KeyError" not in told("weekly") + told()


def test_overlapping_ticks_make_one_run(make_recurring, database):
    """
    S-8.7: six schedulers that find the same time due at one moment make one run of it.
    """
    applied = datetime(2026, 3, 2, 12, tzinfo=UTC)
    workspace = make_recurring(applied, daily='{cron: "0 13 * * *"}')
    with database.begin() as connection:
        for _ in range(20):
            make_customer(connection, consents=("promotions",))
    together, done = threading.Barrier(6), []

    def overlap():
        with database.begin() as connection:
            together.wait(20)
            done.append(recurring.run(connection, Circumstances.of(workspace), applied + timedelta(hours=1)))

    threads = [threading.Thread(target=overlap) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [0] * 5 + [1] == sorted(done)
    with database.begin() as connection:
        assert 20 == len(connection.execute(select(schema.message.c.id)).all())
    assert 1 == len(occurrences(database))


def _runs(make_recurring, database, change, days, at):
    """The occurrences on these days, by a scheduler that looks at the times it is to look at, and a second before."""
    start = change.instant(datetime.combine(days[0], at)) - timedelta(hours=1)
    workspace = make_recurring(start, daily=f'{{cron: "{at.minute} {at.hour} * * *", zone: {change.zone}}}')
    now = start
    for _ in days:
        now = coming(workspace, database, now)
        assert 0 == tick(workspace, database, now - timedelta(seconds=1))
        assert 1 == tick(workspace, database, now)
    return occurrences(database)


def _shown(instants):
    return [f"{instant:%Y-%m-%dT%H:%MZ}" for instant in instants]


def test_runs_around_a_skipped_half_hour_keep_local_time(make_recurring, database):
    """
    On the days around the change of Lord Howe each day has its run, at the instant that is written down.
    """
    howe = next(change for change in CLOCK_CHANGES if change.zone == "Australia/Lord_Howe" and change.new > change.old)
    at, around = time(2, 15), slice(AROUND - 2, AROUND + 3)

    assert _shown(howe.daily(at)[around]) == _runs(make_recurring, database, howe, howe.days[around], at)


@pytest.mark.slow
@pytest.mark.parametrize("change", CLOCK_CHANGES, ids=str)
def test_a_month_around_every_clock_change_has_a_run_a_day(make_recurring, database, change):
    """
    Ten zones, both changes, a time of day that the change skips or repeats.
    """
    at = min(change.old, change.new).time()

    assert _shown(change.daily(at)) == _runs(make_recurring, database, change, change.days, at)


EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"


@pytest.mark.parametrize(
    ("when_passed", "east", "unknown", "west"),
    [
        ("now", ("planned", "2026-03-02T12:00"), ("planned", "2026-03-02T12:00"), ("planned", "2026-03-02T20:00")),
        ("next_day", ("planned", "2026-03-02T19:00"), ("planned", "2026-03-03T09:00"), ("planned", "2026-03-02T20:00")),
        ("skip", ("time_passed", None), ("time_passed", None), ("planned", "2026-03-02T20:00")),
    ],
)
def test_local_times_that_have_passed_follow_the_rule(
    make_workspace, database, clock, when_passed, east, unknown, west
):  # fmt: skip
    """
    S-8.4: at noon nine o'clock is over on Kiritimati (UTC+14), and in UTC, which counts where no zone is known. The
    plan foresees what is frozen.
    """
    text = campaign_file(schedule=f"{{at: 2026-03-02T09:00, zone: recipient, when_passed: {when_passed}}}")
    workspace = make_workspace(database=database, files=FILES | {"campaigns/spring-paper.yaml": text})
    with database.begin() as connection:
        people = [
            make_customer(connection, zone=zone, consents=("promotions",))
            for zone in (EAST, None, "Mars/Olympus", WEST)
        ]
    plan = plan_of(workspace, database, clock)
    apply_of(workspace, database, clock, plan)

    with database.begin() as connection:
        rows = connection.execute(select(schema.message)).mappings().all()
    found = {
        row["customer_id"]: (row["skip_reason"] or row["state"], None if row["skip_reason"] else row["not_before"])
        for row in rows
    }
    told = [
        (state, datetime.fromisoformat(instant).replace(tzinfo=UTC) if instant else None)
        for state, instant in (east, unknown, unknown, west)
    ]
    assert dict(zip(people, told, strict=True)) == found
    skipped = {"time_passed": 3} if when_passed == "skip" else {}
    assert skipped == dict(plan.campaigns[0].counts.skipped)


def test_the_easternmost_zone_is_served_first_and_the_westernmost_last(make_workspace, database, clock):
    """
    A time that has passed nowhere comes on Kiritimati 25 hours before it comes in Pago Pago, whatever the rule.
    """
    text = campaign_file(schedule="{at: 2026-03-04T09:00, zone: recipient, when_passed: skip}")
    workspace = make_workspace(database=database, files=FILES | {"campaigns/spring-paper.yaml": text})
    with database.begin() as connection:
        for zone in (WEST, EAST):
            make_customer(connection, zone=zone, consents=("promotions",))
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))

    with database.begin() as connection:
        times = connection.execute(select(schema.batch.c.not_before).order_by(schema.batch.c.not_before)).scalars()
        assert [datetime(2026, 3, 3, 19, tzinfo=UTC), datetime(2026, 3, 4, 20, tzinfo=UTC)] == list(times)
