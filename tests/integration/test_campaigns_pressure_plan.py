"""Caps and quiet hours on the whole way: settings, plan, apply, a courier's trip, status and why."""

import contextlib
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns import catalogue as files
from campaigns.sending import Courier
from campaigns.status import statuses
from campaigns.waiting import run_waits
from campaigns.why import explain
from core.schema import batch, customer, message, preference
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving

PRESSURE = """\
pressure:
  caps: {{weekly: {{most: 1, within: 7d}}}}
quiet_hours: {{from: "21:00", to: "08:00"}}
"""


@pytest.fixture
def office(make_workspace, database):
    """`office(limits, port)`: a workspace with a cap of one a week and quiet nights."""

    def build(limits="{}", port=2525, settings=PRESSURE):
        given = FILES | {"campaigns/spring-paper.yaml": campaign_file(limits=limits)}
        return make_workspace(database=database, files=given, smtp_port=port, settings=MINIMAL_SETTINGS + settings)

    return build


@pytest.fixture
def people(database, clock):
    """At noon UTC: one who was written to yesterday, one where it is night, one who asked for less, two others."""
    with database.begin() as connection:
        pressed = make_customer(connection, external_id="pressed", consents=("promotions",))
        make_customer(connection, external_id="asleep", consents=("promotions",), zone="Asia/Tokyo")
        wishing = make_customer(connection, external_id="wishing", consents=("promotions",))
        for name in ("one", "two"):
            make_customer(connection, external_id=name, consents=("promotions",))
        run_id = make_run(connection, "winter", state="finished")
        yesterday = clock.now() - timedelta(days=1)
        make_message(connection, run_id, pressed, accepted_at=yesterday, state_at=yesterday)
        earlier = clock.now() - timedelta(days=20)
        make_message(connection, run_id, wishing, accepted_at=earlier, state_at=earlier)
        wish = {"customer_id": wishing, "most_messages": 1, "most_within": timedelta(days=30), "source": "page"}
        connection.execute(insert(preference).values(wish))


def courier_sends(workspace, database, clock):
    """Everything that is due, by one courier."""
    courier = Courier(workspace, database, clock, "w1")
    with contextlib.closing(courier):
        while True:
            with database.begin() as connection:
                due = select(batch.c.id).where(batch.c.state == "ready", batch.c.not_before <= clock.now())
                ids = list(connection.execute(due).scalars())
            if not ids:
                return
            for batch_id in ids:
                courier.send_batch(batch_id)


def told(database, workspace, clock, name):
    """What `why` says of the customer."""
    with database.begin() as connection:
        person = connection.execute(select(customer).where(customer.c.external_id == name)).mappings().one()
        return explain(connection, files.load(workspace), person, "spring-paper", clock.now())


def test_a_plan_tells_who_is_dropped_and_who_would_wait(office, database, clock, people):
    """
    A campaign that drops the capped skips them in its plan; who sleeps is held; the apply agrees, and so does the run.
    """
    with serving() as server:
        workspace = office("{when_capped: drop}", server.port)
        plan = plan_of(workspace, database, clock)
        counts = plan.campaigns[0].counts
        outlook = {name: told(database, workspace, clock, name).reason for name in ("pressed", "asleep", "one")}
        apply_of(workspace, database, clock, plan)
        courier_sends(workspace, database, clock)
        taken = len(server.received)
    with database.begin() as connection:
        status = statuses(connection, "spring-paper")[0]

    assert (3, {"frequency_cap": 2}, {"quiet_hours": 1}) == (counts.would_send, counts.skipped, counts.held)
    assert outlook["pressed"].startswith("frequency_cap: the customer had been written to as often as a cap")
    assert "would wait at first: it is quiet hours" in outlook["asleep"]
    assert outlook["one"].endswith("nothing stands against it")
    assert (counts.skipped, counts.held) == (status.skipped, status.held)
    assert (2, ()) == (taken, status.broken)


def test_a_campaign_that_waits_holds_the_capped_and_sends_later(office, database, clock, people):
    """
    Everybody is held for their own reason, and nobody is lost: each goes when it is over, within the deadline.
    """
    with serving() as server:
        workspace = office("{when_capped: {defer: 12d}}", server.port)
        plan = plan_of(workspace, database, clock)
        apply_of(workspace, database, clock, plan)
        courier_sends(workspace, database, clock)
        first = len(server.received)
        with database.begin() as connection:
            status = statuses(connection, "spring-paper")[0]
            waits = run_waits(connection, workspace.settings, status.run, clock.now())
        why = [fact.what for fact in told(database, workspace, clock, "pressed").facts]
        for _ in range(24):
            clock.step(timedelta(hours=12))
            courier_sends(workspace, database, clock)
        with database.begin() as connection:
            last = statuses(connection, "spring-paper")[0]

    assert {"frequency_cap": 2, "quiet_hours": 1} == plan.campaigns[0].counts.held == status.held
    assert (2, 5, "finished", ()) == (first, len(server.received), last.state, last.broken)
    sentences = [wait.sentence_in("UTC") for wait in waits]
    assert [
        "1: it is quiet hours, a weekend or a holiday where the recipients live (quiet_hours), "
        "until 2026-03-02 23:00:00 UTC",
        "2: the recipients were written to as often as a cap, or they themselves, allow (pressure), "
        "until 2026-03-08 12:00:00 UTC",
        "3: no scheduler and no worker is running; start them with `clarion up`",
    ] == sorted(sentences)
    assert any(line.startswith("waits because the recipients were written to as often as a cap") for line in why)


def test_a_plan_for_the_night_is_told_as_held(office, database, clock, people):
    """
    Everybody would wait for the morning when the campaign is applied at night; the same plan is good in the morning.
    """
    workspace = office("{when_capped: {defer: 3d}}")
    clock.step(timedelta(hours=10))
    plan = plan_of(workspace, database, clock)
    clock.step(timedelta(hours=12))
    apply_of(workspace, database, clock, plan)

    assert {"quiet_hours": 5} == plan.campaigns[0].counts.held  # in Tokyo it is seven in the morning
    assert {"planned"} == {row.state for row in rows(database)}


def rows(database):
    with database.begin() as connection:
        return connection.execute(select(message).where(message.c.campaign == "spring-paper")).all()


def test_a_plan_says_nothing_of_holds_where_none_are_configured(office, database, clock, people):
    """
    Without caps, quiet hours and wishes nobody is held.
    """
    with database.begin() as connection:
        connection.execute(update(preference).values(most_messages=None, most_within=None))

    counts = plan_of(office(settings=""), database, clock).campaigns[0].counts
    assert (5, {}, {}) == (counts.would_send, counts.skipped, counts.held)


FIRM = "pressure: {{caps: {{firm: {{most: 2, within: 7d, of: company}}, weekly: {{most: 1, within: 7d}}}}}}\n"


@pytest.fixture
def colleagues(database, clock):
    """Five of one company, and one of none; the one known longest was written to yesterday."""
    with database.begin() as connection:
        ids = [
            make_customer(connection, external_id=f"mill-{number}", consents=("promotions",), company="Mill")
            for number in range(5)
        ]
        make_customer(connection, external_id="alone", consents=("promotions",))
        yesterday = clock.now() - timedelta(days=1)
        run_id = make_run(connection, "winter", state="finished")
        make_message(connection, run_id, ids[0], accepted_at=yesterday, state_at=yesterday)


@pytest.mark.parametrize(
    ("when_capped", "expected"),
    [
        ("drop", (2, {"frequency_cap": 4}, {}, {})),
        ("{defer: 8d}", (6, {}, {"frequency_cap": 4}, {})),
        ("{defer: 3d}", (6, {}, {}, {"frequency_cap": 4})),
    ],
)
def test_a_plan_foresees_that_colleagues_cap_each_other(office, database, clock, colleagues, when_capped, expected):
    """
    One place is left of the company's two: the next of the colleagues gets it, and the run does what the plan says.
    """
    with serving() as server:
        workspace = office(f"{{when_capped: {when_capped}}}", server.port, FIRM)
        plan = plan_of(workspace, database, clock)
        counts = plan.campaigns[0].counts
        outlook = {name: told(database, workspace, clock, name) for name in ("mill-0", "mill-1", "mill-2", "alone")}
        apply_of(workspace, database, clock, plan)
        courier_sends(workspace, database, clock)
        clock.step(timedelta(days=4))
        courier_sends(workspace, database, clock)
    with database.begin() as connection:
        taken = connection.execute(
            select(customer.c.external_id).join(message, message.c.customer_id == customer.c.id)
            .where(message.c.campaign == "spring-paper", message.c.state == "accepted").order_by(customer.c.id)
        ).scalars().all()  # fmt: skip
        status = statuses(connection, "spring-paper")[0]

    assert expected == (counts.would_send, counts.skipped, counts.held, counts.skipped_later)
    assert ["mill-1", "alone"] == taken
    assert counts.held == status.held
    assert dict(counts.skipped) | dict(counts.skipped_later) == status.skipped
    kinds = {name: one.outcome for name, one in outlook.items()}
    capped = "would_send" if counts.held else "would_skip"
    assert {"mill-0": capped, "mill-1": "would_send", "mill-2": capped, "alone": "would_send"} == kinds


def test_a_plan_tells_who_cannot_go_in_time(office, database, clock, people):
    """
    Where it is night until the campaign is over, and who is capped beyond the deadline, are skipped later: both told.
    """
    with serving() as server:
        workspace = office("{valid_for: 2h, when_capped: {defer: 1d}}", server.port)
        plan = plan_of(workspace, database, clock)
        counts = plan.campaigns[0].counts
        asleep = told(database, workspace, clock, "asleep")
        apply_of(workspace, database, clock, plan)
        courier_sends(workspace, database, clock)
        clock.step(timedelta(hours=2, seconds=1))
        courier_sends(workspace, database, clock)
    with database.begin() as connection:
        status = statuses(connection, "spring-paper")[0]

    assert (5, {}, {}) == (counts.would_send, counts.skipped, counts.held)
    assert {"frequency_cap": 2, "quiet_too_long": 1} == counts.skipped_later == status.skipped
    assert ("would_skip", True) == (asleep.outcome, asleep.reason.startswith("quiet_too_long: "))
