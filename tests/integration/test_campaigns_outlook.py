"""What a plan says before anybody agrees: the way, how long it takes, and that the campaign was cancelled before."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner

from campaigns import catalogue as files
from campaigns import control, versions
from campaigns.outlook import outlook, shown_length
from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from delivery import holds
from delivery.holds import HeldBy
from delivery.throttles import transport_key
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PLAN = "warm_up: {{start: 2026-03-02, daily: [100, 200]}}"


@pytest.mark.parametrize(
    ("lines", "routes", "heads", "expected"),
    [
        ("", "", 1_000_000, None),
        (", rate: 10/s", "", 600, timedelta(minutes=1)),
        (", rate: 1000/day", "", 2000, timedelta(days=2)),
        (", " + PLAN, "", 100, timedelta(0)),
        (", " + PLAN, "", 300, timedelta(hours=12)),
        (", " + PLAN, "", 5000, timedelta(hours=36)),
        (", rate: 10/s, " + PLAN, "", 600, timedelta(hours=36, seconds=30)),
        (", rate: 10/s", "routes: {{default: {{main: 1, other: 1}}}}\n", 600, timedelta(seconds=40)),
        (", rate: 10/s", "routes: {{default: {{main: 1, other: standby}}}}\n", 600, timedelta(minutes=1)),
    ],
)
def test_length_of_the_way_follows_rates_and_plans(make_workspace, database, lines, routes, heads, expected):
    """
    Rates add up over a route; a plan lets its volume through each day, and afterwards any number.
    """
    other = '\n  other: {{url: "smtp://127.0.0.1", rate: 5/s}}'
    settings = MINIMAL_SETTINGS.replace("connections: 4}}", f"connections: 4{lines}}}}}{other}") + routes
    workspace = make_workspace(database=database, files=FILES, settings=settings)
    version = versions.pin(files.load(workspace), "spring-paper")
    with database.begin() as connection:
        way = outlook(connection, workspace.settings, version, heads, NOON)

    assert expected == way.lasts


def test_length_is_told_in_few_words():
    """
    Nobody needs the seconds of a week.
    """
    lengths = [timedelta(seconds=61), timedelta(hours=3, seconds=1), timedelta(days=6, minutes=1)]
    assert ["1m 1s", "3h 1m", "6d 1h"] == [shown_length(length) for length in lengths]


@pytest.fixture
def office(make_workspace, database):
    """`office()` gives a function that calls `clarion` in a workspace with three people who agreed."""

    def build(settings=MINIMAL_SETTINGS, **changes):
        with database.begin() as connection:
            for number in range(3):
                make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
        own = FILES | {"campaigns/spring-paper.yaml": campaign_file(**changes)}
        workspace = make_workspace(database=database, files=own, settings=settings)

        def call(*arguments):
            desk = Desk(workspace.root, SteppedClock(NOON))
            result = CliRunner().invoke(clarion, list(arguments), obj=desk)
            desk.close()
            return result

        return call

    return build


def test_plan_shows_the_way_and_what_holds_it(office, database):
    """
    On screen and as JSON; a length above the campaign's time is remarked.
    """
    slow = MINIMAL_SETTINGS.replace("connections: 4", "connections: 4, rate: 1/h")
    call = office(slow, limits="{valid_for: 1h}")
    with database.begin() as connection:
        holds.hold(connection, transport_key("main"), because="new key", by=HeldBy.OPERATOR, actor="test")
    shown, told = call("plan"), json.loads(call("plan", "--json").stdout)["campaigns"][0]

    assert ("main", ["main"], 3 * 3600, None) == tuple(
        told[key] for key in ("transport", "transports", "lasts_s", "cancelled_at")
    )
    assert [
        "it waits at present: transport main is paused: new key",
        "it takes about 3h, but who was not reached after 1h is left out (limits.valid_for)",
    ] == told["remarks"]
    assert "about 3h, by its rate and warm-up plan" in shown.stdout
    assert "remark: it waits at present: transport main is paused: new key" in shown.stderr


def test_cancelled_campaign_starts_anew_only_when_asked(office, database):
    """
    `plan` says it, `apply` leaves it out, `send` refuses; with --again it goes to those who have no message of it.
    """
    call = office()
    assert 0 == call("send", "spring-paper", "--yes").exit_code
    with database.begin() as connection:
        control.order(connection, "spring-paper", "cancel", actor="test", now=NOON)
    told = json.loads(call("plan", "--json").stdout)["campaigns"][0]
    refused, applied = call("send", "spring-paper", "--yes"), call("apply", "--yes")

    sentence = "spring-paper was cancelled at 2026-03-02 12:00 UTC; this starts it anew for 3 people"
    assert [sentence] == told["remarks"]
    assert 1 == refused.exit_code
    assert "add --again to start it anew for 3 people" in refused.stderr
    assert (0, "nothing to do\n") == (applied.exit_code, applied.stdout)
    assert "left out: spring-paper was cancelled" in applied.stderr
    again = call("send", "spring-paper", "--yes", "--again")
    assert 0 == again.exit_code
    assert 2 == json.loads(call("status", "--json").stdout)["runs"][0]["run"]


def test_warm_up_day_is_that_of_the_organisation(make_workspace, database):
    """
    The day ends at midnight in its zone.
    """
    settings = MINIMAL_SETTINGS.replace("connections: 4", "connections: 4, " + PLAN).replace(
        '12345 Papertown"', '12345 Papertown", zone: Asia/Tokyo'
    )
    workspace = make_workspace(database=database, files=FILES, settings=settings)
    version = versions.pin(files.load(workspace), "spring-paper")
    assert date(2026, 3, 2) == workspace.settings.transports["main"].warm_up.start
    with database.begin() as connection:
        way = outlook(connection, workspace.settings, version, 300, NOON)

    assert timedelta(hours=3) == way.lasts
