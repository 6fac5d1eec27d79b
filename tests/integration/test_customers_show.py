"""`clarion customer show`: what is still going on with a customer, and what they wish for."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.schema import preference
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_activity, make_customer
from tests.rights_rows import EXTERNAL, make_person

CARE = "care: {{cases: {{opened_by: [complaint], closed_by: [solved], same: ticket}}}}\n"
Run = Callable[..., Result]


@pytest.fixture
def run(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Run:
    desk = Desk(clock=clock)
    desk.workspace = make_workspace(database=database, settings=MINIMAL_SETTINGS + CARE)
    desk.database = database
    return lambda *arguments: CliRunner().invoke(clarion, ["customer", "show", *arguments], obj=desk)


@pytest.fixture
def happened(database: Database, clock: SteppedClock) -> Callable[..., None]:
    """`happened(customer, name, ticket, days=…)`: an event so many days ago."""

    def make(customer_id: int, name: str, ticket: str, *, days: float) -> None:
        with database.begin() as connection:
            at = clock.now() - timedelta(days=days)
            make_activity(connection, customer_id, name, occurred_at=at, properties={"ticket": ticket})

    return make


def test_open_cases_of_the_person_are_shown(run: Run, database: Database, happened: Any, clock: SteppedClock) -> None:
    """
    The cases for which promotions wait, the oldest first, whichever name of the person they were opened under; not
    those that are closed, forgotten or of tomorrow.
    """
    with database.begin() as connection:
        mine, other = (make_customer(connection, external_id=name, person="p") for name in ("C1", "C2"))
        stranger = make_customer(connection, external_id="C3")
    happened(mine, "complaint", "T1", days=3)
    happened(mine, "solved", "T1", days=2)
    happened(mine, "complaint", "T2", days=1)
    happened(mine, "complaint", "T3", days=-1)
    happened(mine, "complaint", "T4", days=91)
    happened(other, "complaint", "T5", days=5)
    happened(stranger, "complaint", "T6", days=1)
    shown = {key: json.loads(run(key, "--json").stdout)["open_cases"] for key in ("C1", "C2", "C3")}

    assert [
        {"name": "complaint", "opened_at": (clock.now() - timedelta(days=days)).isoformat(), "case": ticket}
        for ticket, days in (("T5", 5), ("T2", 1))
    ] == shown["C1"]
    assert shown["C1"] == shown["C2"]
    assert ["T6"] == [case["case"] for case in shown["C3"]]


def test_wishes_and_cases_are_told_where_there_are_any(
    run: Run, database: Database, happened: Any, clock: SteppedClock
) -> None:
    """
    How often somebody wants mail stands in words on the page; nobody reads headings of nothing.
    """
    with database.begin() as connection:
        mine, plain = (make_customer(connection, external_id=name) for name in ("C1", "C2"))
        wish = {"customer_id": mine, "most_messages": 2, "most_within": timedelta(days=7), "source": "phone"}
        connection.execute(insert(preference).values(wish | {"updated_at": clock.now()}))
        done = {"customer_id": plain, "most_messages": None, "most_within": None, "source": "phone"}
        connection.execute(insert(preference).values(done | {"updated_at": clock.now()}))
    happened(mine, "complaint", "T1", days=1)
    told, nothing = run("C1").stdout, run("C2").stdout
    wishes = json.loads(run("C1", "--json").stdout)["wishes"]

    assert [(2, "7d", "phone")] == [(one["most_messages"], one["most_within"], one["source"]) for one in wishes]
    assert ("\nwishes\n" in told, "\nopen cases\n" in told) == (True, True)
    assert "T1" in told
    assert ("wishes" in nothing, "open cases" in nothing) == (False, False)


def test_what_somebody_takes_part_in_is_told(run: Run, database: Database) -> None:
    """
    Registrations for events, inquiries and passages through sequences: what, how it stands, and since when.
    """
    with database.begin() as connection:
        make_person(connection)
        make_customer(connection, external_id="C1")
    shown, told, nothing = json.loads(run(EXTERNAL, "--json").stdout), run(EXTERNAL).stdout, run("C1").stdout

    (seat,), (asked,), (passage,) = (shown[name] for name in ("registrations", "inquiries", "passages"))
    assert ("confirmed", None) == (seat["state"], seat["checked_in_at"])
    assert ("sales", "open") == (asked["desk"], asked["state"])
    assert ("welcome", "hello", "active") == tuple(passage[name] for name in ("sequence", "step", "state"))
    headings = ("\nregistrations\n", "\ninquiries\n", "\npassages\n")
    assert [(True, False)] * 3 == [(heading in told, heading in nothing) for heading in headings]
