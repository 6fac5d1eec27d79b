"""S-8.1: a zone's rules change between planning and the time that was planned; what comes, comes at the wall time."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from campaigns import zone_rules
from campaigns.duty import Circumstances
from campaigns.sequences import enrol
from core import schema
from core.fresh_settings import FreshWorkspace
from tests.campaign_files import FILES, campaign_file
from tests.event_files import FILES as EVENT_FILES
from tests.event_files import Hall
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving
from tests.sequence_files import Road, sequence
from tests.zone_files import ZoneFiles
from workers.duty_rounds import DutyRounds

#: Nine o'clock in Berlin is eight in UTC; after these changes it is seven, or nine.
EARLIER, LATER = "EET-2", "GMT0"
ANN = "ann@firm.example"


@pytest.fixture
def zones(tmp_path):
    """The zone database; `change(Europe__Berlin=EARLIER)`."""
    files = ZoneFiles(tmp_path / "zones")
    yield files
    files.forget()


@pytest.fixture
def scheduler(database, clock):
    """A scheduler that was started anew over a workspace: one round of everything that is due; how much that was."""

    def once(workspace: Any) -> int:
        return DutyRounds(database, FreshWorkspace(workspace), clock).work()

    return once


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


# --- recurring campaigns -----------------------------------------------------------------------------------


@pytest.fixture
def daily(make_workspace, database, clock):
    """A campaign at nine o'clock in Berlin, every day; and what has run."""
    files = FILES | {"campaigns/spring-paper.yaml": campaign_file(kind="recurring", schedule=_daily(9))}
    workspace = make_workspace(database=database, files=files)
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    return workspace


def _daily(hour: int) -> str:
    return f'{{cron: "0 {hour} * * *", zone: Europe/Berlin}}'


def ran(database: Any) -> list[str]:
    with database.begin() as connection:
        return list(connection.execute(select(schema.run.c.occurrence).order_by(schema.run.c.id)).scalars())


def test_a_recurring_campaign_goes_by_the_rules_of_its_day_once_a_day(daily, database, clock, scheduler, zones):
    """
    S-8.1: an hour is put on after today's run: it does not run again at the new nine o'clock, but there tomorrow. One
    is taken off the day after: it comes earlier.
    """
    clock.instant = at(3, 8)
    scheduler(daily)
    zones.change(Europe__Berlin=LATER)
    for instant in (at(3, 9), at(4, 8, 30), at(4, 9)):
        clock.instant = instant
        scheduler(daily)
    zones.change(Europe__Berlin=EARLIER)
    for instant in (at(5, 6, 59), at(5, 7), at(5, 8), at(5, 9)):
        clock.instant = instant
        scheduler(daily)

    assert ["2026-03-03T08:00Z", "2026-03-04T09:00Z", "2026-03-05T07:00Z"] == ran(database)


def test_another_schedule_of_the_same_day_is_not_taken_for_a_change_of_rules(daily, database, clock, scheduler):
    """
    Who moves a campaign from nine to ten o'clock after it ran gets it at ten, too: they said so.
    """
    clock.instant = at(3, 8)
    scheduler(daily)
    (daily.root / "campaigns/spring-paper.yaml").write_text(campaign_file(kind="recurring", schedule=_daily(10)))
    apply_of(daily, database, clock, plan_of(daily, database, clock))
    clock.instant = at(3, 9)
    scheduler(daily)

    assert ["2026-03-03T08:00Z", "2026-03-03T09:00Z"] == ran(database)


# --- campaigns of one time -----------------------------------------------------------------------------------


@pytest.fixture
def once(make_workspace, database, clock):
    """Builds a campaign at nine o'clock on 4 March, in a zone, to people in Berlin and Paris."""

    def build(zone: str) -> Any:
        schedule = f"{{at: 2026-03-04T09:00, zone: {zone}}}"
        text_ = campaign_file(schedule=schedule, limits="{valid_for: 2h}")
        workspace = make_workspace(database=database, files=FILES | {"campaigns/spring-paper.yaml": text_})
        with database.begin() as connection:
            for place in ("Europe/Berlin", "Europe/Paris"):
                make_customer(connection, external_id=place, zone=place, consents=("promotions",))
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        return workspace

    return build


MAILED = text("""
    SELECT c.external_id, m.not_before, b.not_before AS batch FROM batch AS b, unnest(b.message_ids) AS i (id)
    JOIN message AS m USING (id) JOIN customer AS c ON c.id = m.customer_id ORDER BY 1
""")


def mailed(database: Any) -> list[tuple[Any, ...]]:
    """Who is mailed when, by their message and by its batch."""
    with database.begin() as connection:
        return [tuple(row) for row in connection.execute(MAILED).all()]


@pytest.mark.parametrize(("rule", "hour"), [(LATER, 9), (EARLIER, 7)])
def test_an_applied_campaign_begins_when_the_clock_of_its_zone_says_so(once, database, scheduler, zones, rule, hour):
    """
    S-8.1: everything of it moves, also until when its messages are worth sending, and only once.
    """
    workspace = once("Europe/Berlin")
    zones.change(Europe__Berlin=rule)
    scheduler(workspace)
    moved = mailed(database)
    scheduler(workspace)

    assert [(place, at(4, hour), at(4, hour)) for place in ("Europe/Berlin", "Europe/Paris")] == moved
    assert moved == mailed(database)
    with database.begin() as connection:
        run = connection.execute(select(schema.run)).one()
        told = select(schema.audit.c.detail).where(schema.audit.c.action == "campaign.follow")
        assert [{"run": run.id, "messages": 2}] == list(connection.execute(told).scalars())
    assert at(4, hour) == run.starts_at
    assert max(at(4, 10), at(4, hour + 2)) == run.valid_until


def test_whoever_shares_a_batch_with_people_of_another_zone_keeps_their_time(once, database, scheduler, zones):
    """
    S-8.1: nine o'clock in Berlin is an hour later by now, nine o'clock in Paris is not; they were in one batch.
    """
    workspace = once("recipient")
    zones.change(Europe__Berlin=LATER)
    scheduler(workspace)

    assert [("Europe/Berlin", at(4, 9), at(4, 9)), ("Europe/Paris", at(4, 8), at(4, 8))] == mailed(database)


@pytest.mark.parametrize("change", [{"hold_reason": "open_case"}, {"booked_at": at(2, 12)}])
def test_what_was_looked_at_goes_its_own_way(once, database, scheduler, zones, change):
    """
    A batch with a held message, or one that a throttle gave its time, is left as it is.
    """
    workspace = once("Europe/Berlin")
    with database.begin() as connection:
        connection.execute(update(schema.message if "hold_reason" in change else schema.batch).values(**change))
    before = mailed(database)
    zones.change(Europe__Berlin=LATER)
    scheduler(workspace)

    assert before == mailed(database)


def test_what_a_held_transport_put_off_into_the_night_waits_for_no_other_morning(once, database, clock, scheduler):
    """
    A worker took it at nine and has given it back ever since: at nine in the evening it is tried again, as it was to.
    """
    workspace = once("Europe/Berlin")
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(claim_count=1, not_before=at(4, 21)))
    before = mailed(database)
    clock.instant = at(4, 20, 59)
    scheduler(workspace)

    assert before == mailed(database)


def test_whoever_moved_to_another_zone_since_is_not_mailed_a_day_early(make_workspace, database, clock, scheduler):
    """
    No rule has changed: a scheduler that starts leaves nine o'clock in Tokyo to whoever lives in New York by now.
    """
    at_nine = campaign_file(schedule="{at: 2026-03-04T09:00, zone: recipient}")
    workspace = make_workspace(database=database, files=FILES | {"campaigns/spring-paper.yaml": at_nine})
    with database.begin() as connection:
        make_customer(connection, zone="Asia/Tokyo", consents=("promotions",))
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    with database.begin() as connection:
        connection.execute(update(schema.customer).values(zone="America/New_York"))
    before = mailed(database)
    scheduler(workspace)

    assert [at(4, 0)] == [row[1] for row in before]
    assert before == mailed(database)


def test_a_batch_that_a_worker_takes_meanwhile_is_left_to_it(once, database, clock, scheduler, zones):
    """
    One of two batches is being claimed while a scheduler looks: it goes when it was to, the other one is moved.
    """
    workspace = once("Europe/Berlin")
    with database.begin() as connection:
        whole = connection.execute(select(schema.batch)).one()
        connection.execute(update(schema.batch).values(message_ids=whole.message_ids[:1]))
        values = {"run_id": whole.run_id, "message_ids": whole.message_ids[1:], "not_before": whole.not_before}
        other = connection.execute(schema.batch.insert().values(values).returning(schema.batch.c.id)).scalar_one()
    zones.change(Europe__Berlin=LATER)
    with database.begin() as connection:
        connection.execute(select(schema.batch).where(schema.batch.c.id == other).with_for_update())
        scheduler(workspace)

    assert [at(4, 8), at(4, 9)] == sorted(row[2] for row in mailed(database))
    with database.begin() as connection:
        assert (
            at(4, 8) == connection.execute(select(schema.batch.c.not_before).where(schema.batch.c.id == other)).scalar()
        )


def test_what_was_not_committed_is_followed_again(once, database, clock, zones):
    """
    The first commit fails: the same process moves everybody at its next round.
    """
    workspace = once("Europe/Berlin")
    zones.change(Europe__Berlin=LATER)
    (follow, *_) = zone_rules.duties()
    around = Circumstances.of(workspace)
    with database.begin() as connection, contextlib.suppress(ConnectionError), connection.begin_nested():
        assert 2 == follow.run(connection, around, clock.now())
        raise ConnectionError
    with database.begin() as connection:
        assert [2, 0] == [follow.run(connection, around, clock.now()) for _ in range(2)]

    assert {at(4, 9)} == {row[1] for row in mailed(database)}


# --- sequences -------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(make_workspace, database, clock):
    """Builds a sequence with one pause, in which somebody of Berlin and somebody of Paris are."""

    def build(pause: str) -> Road:
        steps = f"pause: {{wait: {pause}}}\nhello: {{send: {{template: spring-paper.html}}}}"
        way = Road(make_workspace, database, clock, sequence(steps, enrol="{by: api}"))
        with database.begin() as connection:
            for place in ("Europe/Berlin", "Europe/Paris"):
                customer_id = make_customer(connection, zone=place, consents=("promotions",))
                enrol.enrol(connection, "nurture", customer_id, now=clock.now())
        way.tick()
        return way

    return build


@pytest.mark.parametrize(("rule", "hour"), [(LATER, 9), (EARLIER, 7)])
def test_a_wait_until_nine_ends_at_nine(waiting, clock, scheduler, zones, rule, hour):
    """
    S-8.1: who waits until nine in Berlin goes on at nine by the new rules; who waits in Paris, as before.
    """
    way = waiting('{until: "09:00"}')
    before = way.due_at()
    zones.change(Europe__Berlin=rule)
    scheduler(way.workspace)
    moved = way.due_at()
    clock.instant = at(3, hour)
    scheduler(way.workspace)

    assert [at(3, 8), at(3, 8)] == before
    assert [at(3, hour), at(3, 8)] == moved
    assert ("hello", "1", None) in way.messages()


def test_a_wait_whose_end_is_over_by_the_new_rules_ends_when_it_was_to(waiting, clock, scheduler, zones):
    """
    At half past seven it turns out that nine o'clock was at seven: the mail goes at eight, not tomorrow.
    """
    way = waiting('{until: "09:00"}')
    clock.instant = at(3, 7, 30)
    zones.change(Europe__Berlin=EARLIER)
    scheduler(way.workspace)

    assert [at(3, 8), at(3, 8)] == way.due_at()


def test_a_wait_for_days_ends_when_it_was_to(waiting, clock, scheduler, zones):
    """
    Nobody named a time of day: three days from when they came are three days.
    """
    way = waiting("3d")
    zones.change(Europe__Berlin=LATER)
    scheduler(way.workspace)

    assert [clock.now() + timedelta(days=3)] * 2 == way.due_at()


# --- events ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hall(make_workspace, database, clock):
    """An evening at 18:00 in Berlin on 20 March, with reminders a week and a day before; Ann has a seat."""
    made = Hall(make_workspace(database=database, files=EVENT_FILES), database, clock)
    made.apply()
    made.register(ANN)
    with serving() as server:
        made.deliver(server.port)
    return made


def held(database: Any) -> Any:
    with database.begin() as connection:
        return connection.execute(select(schema.event)).one()


def test_an_event_and_its_reminders_keep_their_wall_time(hall, database, clock, scheduler, zones):
    """
    S-8.1: an hour earlier in UTC, at 18:00 in Berlin. Nobody is told before somebody has looked at it and applied it.
    """
    zones.change(Europe__Berlin=EARLIER)
    scheduler(hall.workspace)
    mails, moved, coming = hall.mails(ANN), held(database), hall.next_at()
    applied, again = hall.apply(), hall.apply()
    hall.look_after()

    assert (at(20, 16), at(20, 18, 30), 0) == (moved.starts_at, moved.ends_at, moved.revision)
    assert at(13, 16) == coming
    assert ["confirmation"] == mails
    assert [{"campaign": "paper-evening", "done": "when", "mails": 1}] == applied
    assert [] == again
    assert ["confirmation", "change"] == hall.mails(ANN)
    (told,) = hall.given(ANN, "change")
    assert told["was"]["when"].endswith("18:00–20:30 (Europe/Berlin, UTC+01:00)")
    assert told["event"]["when"].endswith("18:00–20:30 (Europe/Berlin, UTC+02:00)")
    hall.step(days=12)
    assert ["confirmation", "change", "reminder-7d"] == hall.mails(ANN)


def test_an_event_is_moved_by_a_plan_where_no_scheduler_looked_first(hall, database, zones):
    """
    S-8.1: the file is the same, its zone is not; applying it does what the plan says, and no more the next time.
    """
    zones.change(Europe__Berlin=LATER)
    applied, again = hall.apply(), hall.apply()

    assert [("paper-evening", "when")] == [(row["campaign"], row["done"]) for row in applied]
    assert [] == again
    assert (at(20, 18), 1) == (held(database).starts_at, held(database).revision)


def test_an_event_that_has_begun_is_not_moved_by_rules(hall, database, clock, scheduler, zones):
    """
    It began when it began: a plan has nothing to do, and does not refuse either.
    """
    clock.instant = at(20, 17, 30)
    zones.change(Europe__Berlin=LATER)
    scheduler(hall.workspace)

    assert [] == hall.apply()
    assert at(20, 17) == held(database).starts_at
