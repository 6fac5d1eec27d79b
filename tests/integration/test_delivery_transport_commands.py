"""`clarion transport`, and where else a held transport is told."""

import json

import pytest
from click.testing import CliRunner, Result

from cli import clarion
from core.commands import Desk
from delivery import routes
from delivery.commands.transport import _shown_rate
from delivery.smtp import TransportFault
from delivery.throttles import Throttles
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_run, make_version

SETTINGS = MINIMAL_SETTINGS.replace(
    "connections: 4}}",
    "connections: 4, rate: 100/s, warm_up: {{start: 2000-01-01, daily: [5]}}}}\n"
    '  backup: {{url: "smtp://user:hunter2@127.0.0.1:2526"}}',
) + ("routes: {{road: {{main: 3, backup: standby}}}}\ndomains: {{slow.example: {{rate: 600/min}}}}\n")


@pytest.fixture
def desk(database, make_workspace):
    workspace = make_workspace(database=database, settings=SETTINGS)
    desk = Desk(workspace.root)
    yield desk
    desk.close()


def run(desk: Desk, *arguments: str) -> Result:
    return CliRunner().invoke(clarion, list(arguments), obj=desk)


def listed(desk: Desk) -> dict:
    return json.loads(run(desk, "transport", "list", "--json").stdout)


def test_transport_list_shows_rates_plans_and_no_password(desk):
    """
    Every transport with its address, rate and state; the route it belongs to; never a password.
    """
    found = listed(desk)

    assert [("main", "free", 100.0), ("backup", "free", None)] == [
        (row["transport"], row["state"], row["rate"]) for row in found["transports"]
    ]
    assert {"road": {"main": 3, "backup": "standby"}} == found["routes"]
    table = run(desk, "transport", "list").stdout
    assert "hunter2" not in table + json.dumps(found)
    assert "100/s" in table
    assert "main 3 of 3, backup (standby)" in table


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(100.0, "100/s"), (2.5, "2.5/s"), (0.25, "15/min"), (2000 / 86400, "1.4/min"), (1 / 7200, "12/day"), (0.0, "0/s")],
)
def test_rate_is_shown_in_a_unit_that_is_easy_to_read(rate, shown):
    """
    Slow rates are messages a minute, an hour or a day, as people write them in clarion.yaml.
    """
    assert shown == _shown_rate(rate)


def test_transport_is_paused_and_resumed_by_hand(desk, database):
    """
    While it is paused its route takes the other transport; resumed, it is used as before.
    """
    assert "main: paused" in run(desk, "transport", "pause", "main", "--because", "new certificate").stdout
    row = listed(desk)["transports"][0]
    with database.begin() as connection:
        assert "backup" == routes.choose(connection, desk.workspace.settings, "road", salt=1)

    assert ("held", "operator", "new certificate", None) == (row["state"], row["by"], row["because"], row["until"])
    assert "main: resumed" in run(desk, "transport", "resume", "main").stdout
    assert "main: was not held" in run(desk, "transport", "resume", "main").stdout
    assert "free" == listed(desk)["transports"][0]["state"]


def test_domain_is_paused_and_resumed_by_hand(desk, database):
    """
    A name with a dot is a recipient domain: nothing goes to it until it is resumed.
    """
    run(desk, "transport", "pause", "Slow.example")
    with database.begin() as connection:
        held = Throttles.of(desk.workspace.settings).admit(connection, "backup", {"slow.example": 3, "a.example": 3})

    assert {"slow.example": 0, "a.example": 3} == held
    assert [("slow.example", "held")] == [(row["domain"], row["state"]) for row in listed(desk)["domains"]]
    run(desk, "transport", "resume", "slow.example")
    assert [] == listed(desk)["domains"]


def test_unknown_transport_is_a_mistake_with_a_hint(desk):
    """
    A misspelt transport is named, with what was meant.
    """
    result = run(desk, "transport", "pause", "mian")

    assert 1 == result.exit_code
    assert "no transport 'mian'" in result.stderr
    assert "main" in result.stderr


def test_fault_is_told_by_status_and_doctor(desk, database):
    """
    Whoever looks at campaigns or at the installation learns that a transport is held, and why.
    """
    fault = TransportFault("the server refused the password", temporary=False)
    with database.begin() as connection:
        routes.fault(connection, "main", fault)

    assert "transport main is held and tried again" in run(desk, "status").stderr
    (row,) = (row for row in listed(desk)["transports"] if row["state"] == "held")
    assert ("main", "the server refused the password") == (row["transport"], row["because"])


def test_hold_is_told_of_the_campaigns_that_use_it(desk, database):
    """
    Whoever asks about one campaign hears of its own transports; whoever asks about all, of everything that is held.
    """
    with database.begin() as connection:
        for campaign, route in (("offers", "main"), ("letters", "backup"), ("cards", "road")):
            version_id = make_version(connection, campaign, definition={"transport": route})
            make_run(connection, campaign, version_id=version_id)
    run(desk, "transport", "pause", "backup", "--because", "a new key")
    asked = (("offers",), ("letters",), ("cards",), ())
    told = {names: "transport backup is paused" in run(desk, "status", *names).stderr for names in asked}

    assert {("offers",): False, ("letters",): True, ("cards",): True, (): True} == told
