"""`status` and `why` say why messages wait, and until when."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from campaigns import control
from campaigns.waiting import message_waits, run_waits
from cli import clarion
from core import schema
from core.commands import Desk
from delivery import holds
from delivery.holds import HeldBy
from delivery.throttles import domain_key, transport_key
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_activity, make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of


@pytest.fixture
def started(make_workspace, database, clock):
    """`started(transport settings, sections of clarion.yaml)` gives a workspace with a run of two messages that nobody
    has sent."""

    def start(more="", sections=""):
        with database.begin() as connection:
            make_customer(connection, email="ada@firm.example", external_id="K1", consents=("promotions",))
            make_customer(connection, email="bob@shop.example", consents=("promotions",))
        settings = MINIMAL_SETTINGS.replace("connections: 4", "connections: 4" + more) + sections
        workspace = make_workspace(database=database, files=FILES, settings=settings)
        (run,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        return workspace, run.run_id

    return start


def texts(database, workspace, run_id, clock):
    with database.begin() as connection:
        found = run_waits(connection, workspace.settings, run_id, clock.now())
        ids = connection.execute(select(schema.message.c.id).order_by(schema.message.c.id)).scalars().all()
        first = message_waits(connection, workspace.settings, ids[0], clock.now())
    return [wait.sentence_in("UTC") for wait in found], [wait.sentence_in("UTC") for wait in first]


NOBODY = "no scheduler and no worker is running; start them with `clarion up`"


def test_messages_wait_for_a_held_transport_and_a_paused_run(started, database, clock):
    """
    Both reasons are told, with whom to ask.
    """
    workspace, run_id = started()
    with database.begin() as connection:
        holds.hold(connection, transport_key("main"), because="new key", by=HeldBy.OPERATOR, actor="test")
        control.order(connection, "spring-paper", "pause", actor="test", now=clock.now())
    expected = [
        "the run is paused (paused by hand); `clarion resume spring-paper` goes on",
        "transport main is paused: new key",
        NOBODY,
    ]

    assert ([f"2: {reason}" for reason in expected], expected) == texts(database, workspace, run_id, clock)


def test_messages_wait_for_the_plan_of_a_transport(started, database, clock):
    """
    A warm-up that has not begun, by the day on which it does.
    """
    workspace, run_id = started(", warm_up: {{start: 2999-01-01, daily: [5]}}")
    (first, *_), _ = texts(database, workspace, run_id, clock)

    assert "2: the warm-up of transport main begins on 2999-01-01, until 2999-01-01 00:00:00 UTC" == first


def test_messages_wait_for_the_next_day_of_a_plan(started, database, clock):
    """
    Today's volume is used up.
    """
    today = datetime.now(UTC).date()
    workspace, run_id = started(f", warm_up: {{{{start: {today}, daily: [5]}}}}")
    with database.begin() as connection:
        connection.execute(schema.volume.insert().values(key=transport_key("main"), day=today, message_count=5))
    (first, *_), _ = texts(database, workspace, run_id, clock)

    day = today + timedelta(days=1)
    assert f"2: the warm-up volume of transport main is used up (5 messages today), until {day} 00:00:00 UTC" == first


def test_messages_wait_for_their_domain_and_their_time(started, database, clock):
    """
    Only those who are concerned are counted; a message of another domain does not wait for it.
    """
    workspace, run_id = started()
    later = clock.now() + timedelta(hours=1)
    with database.begin() as connection:
        holds.hold(connection, domain_key("shop.example"), because="it is off", by=HeldBy.OPERATOR, actor="test")
        connection.execute(update(schema.batch).values(not_before=later))
        connection.execute(update(schema.message).values(not_before=later))
    time = f"the time has not come, until {later:%Y-%m-%d %H:%M:%S} UTC"

    assert (
        [f"2: {NOBODY}", f"2: {time}", "1: domain shop.example is held: it is off"],
        [NOBODY, time],
    ) == texts(database, workspace, run_id, clock)


def test_reasons_are_in_status_and_why(started, database):
    """
    On screen and as JSON, each with how many it concerns; a run with nothing open has none.
    """
    workspace, run_id = started()
    desk = Desk(workspace.root)

    def told(*arguments):
        return CliRunner().invoke(clarion, list(arguments), obj=desk).stdout

    with database.begin() as connection:
        holds.hold(connection, transport_key("main"), because="new key", by=HeldBy.OPERATOR, actor="test")
    assert "waiting: 2: transport main is paused: new key" in told("status", "spring-paper")
    assert (
        "transport main is paused: new key" == json.loads(told("status", "--json"))["runs"][0]["waiting"][0]["because"]
    )
    assert "waits because transport main is paused: new key" in told("why", "K1", "spring-paper")
    with database.begin() as connection:
        control.order(connection, "spring-paper", "cancel", actor="test", now=desk.clock.now())
        assert [] == run_waits(connection, workspace.settings, run_id, desk.clock.now())
    assert [] == json.loads(told("status", "spring-paper", "--json"))["waiting"]
    desk.close()


def test_messages_whose_case_was_closed_are_counted_apart(started, database, clock):
    """
    Of those put off for open cases it is told how many wait for somebody, and how many only for the next look.
    """
    workspace, run_id = started(sections="care: {{cases: {{opened_by: [complaint], closed_by: [solved]}}}}\n")
    later = clock.now() + timedelta(minutes=15)
    with database.begin() as connection:
        people = connection.execute(select(schema.message.c.customer_id).order_by(schema.message.c.id)).scalars().all()
        for customer_id in people:
            make_activity(connection, customer_id, "complaint", occurred_at=clock.now() - timedelta(days=2))
        connection.execute(update(schema.message).values(hold_reason="open_case", held_at=clock.now()))
        connection.execute(update(schema.batch).values(not_before=later))
    both, _ = texts(database, workspace, run_id, clock)
    with database.begin() as connection:
        make_activity(connection, people[0], "solved", occurred_at=clock.now() - timedelta(hours=1))
    one, mine = texts(database, workspace, run_id, clock)
    with database.begin() as connection:
        make_activity(connection, people[1], "solved", occurred_at=clock.now() - timedelta(hours=1))
    none, _ = texts(database, workspace, run_id, clock)
    until = f"until {later:%Y-%m-%d %H:%M:%S %Z}"
    closed, is_open = "the case of the recipients was closed", "a case of the recipients is open (care.cases)"

    assert [f"2: {is_open}, {until}"] == both[1:]
    assert [f"1: {closed}; they go at the next look, {until}", f"1: {is_open}, {until}"] == one[1:]
    assert [f"2: {closed}; they go at the next look, {until}"] == none[1:]
    assert f"{closed}: closed 2026-03-02 11:00 UTC; goes at the next look, {until}" == mine[1]


def test_messages_put_off_by_a_hold_wait_for_nothing_else(started, database, clock):
    """
    Who was put off because the transport or their domain is held waits for that alone: no rate and no time of their own
    is told.
    """
    workspace, run_id = started()
    later = clock.now() + timedelta(minutes=2)
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(not_before=later))
        holds.hold(connection, transport_key("main"), because="new key", by=HeldBy.OPERATOR, actor="test")
    by_transport = texts(database, workspace, run_id, clock)
    with database.begin() as connection:
        holds.release(connection, transport_key("main"), actor="test")
        holds.hold(connection, domain_key("firm.example"), because="it is off", by=HeldBy.OPERATOR, actor="test")
        connection.execute(update(schema.batch).values(not_before=later, booked_at=clock.now()))
    by_domain = texts(database, workspace, run_id, clock)
    held, rate = "domain firm.example is held: it is off", "the rate or warm-up plan of the transport or domain"

    assert (["2: transport main is paused: new key"], ["transport main is paused: new key"]) == without_nobody(
        by_transport
    )
    assert (
        [f"1: {rate} lets no more through now, until {later:%Y-%m-%d %H:%M:%S} UTC", f"1: {held}"],
        [held],
    ) == without_nobody(by_domain)


@pytest.mark.parametrize(
    ("tries", "words"),
    [
        (0, "nothing could be sent at the last try, and the next one is not due"),
        (1, "the server said later or the connection was lost, and the next try is not due"),
    ],
)
def test_messages_wait_for_their_next_try(started, database, clock, tries, words):
    """
    Whose own time is past was put off: before anything was sent, or by the server or the loss of its connection.
    """
    workspace, run_id = started()
    later = clock.now() + timedelta(minutes=2)
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(not_before=later, attempt_count=tries))
    expected = f"{words}, until {later:%Y-%m-%d %H:%M:%S} UTC"

    assert ([f"2: {expected}"], [expected]) == without_nobody(texts(database, workspace, run_id, clock))


def without_nobody(told):
    """The reasons but for the first one, that no process runs."""
    return tuple([reason for reason in reasons if NOBODY not in reason] for reasons in told)
