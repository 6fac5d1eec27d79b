"""What is said of one customer beside a reason: which cap, which quiet time, which basis, since when a case is open."""

from datetime import UTC, datetime, time, timedelta
from typing import Final

import pytest
from sqlalchemy import insert

from campaigns.particulars import particulars
from core.database import Database
from core.schema import preference
from suppression.caps import Cap, Rules
from suppression.care import Care, Cases
from suppression.policy import Policy
from suppression.quiet_hours import QuietHours
from tests.factories import make_activity, make_consent, make_customer, make_message, make_run

#: Good Friday, 23:00 in Berlin.
NOW: Final = datetime(2026, 4, 3, 21, 0, tzinfo=UTC)


def _said(database: Database, policy: Policy, customer_id: int, reason: str, now: datetime = NOW) -> str:
    with database.begin() as connection:
        return particulars(connection, policy, customer_id, reason, topic="promotions", priority=0, now=now)


def test_a_cap_and_a_wish_are_named(database: Database) -> None:
    """
    Of several caps the full one is named as in clarion.yaml, and what the person asked for in numbers.
    """
    caps = [("weekly", 1, timedelta(days=7)), ("monthly", 9, timedelta(days=30))]
    rules = Rules(tuple(Cap(name, most, within, None, "person", None, None, 0) for name, most, within in caps))
    with database.begin() as connection:
        customer_id = make_customer(connection)
        make_message(connection, make_run(connection), customer_id, accepted_at=NOW - timedelta(days=1))
        wish = {"customer_id": customer_id, "most_messages": 1, "most_within": timedelta(days=14), "source": "phone"}
        connection.execute(insert(preference).values(wish))

    assert (
        "pressure.caps.weekly allows a person 1 in 7d, and all are used; "
        "they asked for at most 1 in 14d, and all are used"
    ) == _said(database, Policy(pressure=rules), customer_id, "frequency_cap")


@pytest.mark.parametrize(
    ("at", "weekends", "expected"),
    [
        (NOW, True, "holiday: Good Friday (DE, Europe/Berlin)"),
        (NOW + timedelta(days=1), True, "weekend (DE, Europe/Berlin)"),
        (NOW + timedelta(days=1), False, "night, 21:00 to 08:00 (DE, Europe/Berlin)"),
        (NOW + timedelta(days=4, hours=13), True, ""),
    ],
)
def test_quiet_hours_say_which_rule_it_is(database: Database, at: datetime, weekends: bool, expected: str) -> None:
    """
    A holiday is named, a night has its hours, and a time that is not quiet has nothing to say.
    """
    quiet = QuietHours(time(21), time(8), weekends, True, "UTC", None, "subdivision")
    with database.begin() as connection:
        customer_id = make_customer(connection, country="DE", zone="Europe/Berlin")

    assert expected == _said(database, Policy(quiet_hours=quiet), customer_id, "quiet_hours", at)


def test_a_basis_is_told_with_what_is_wanted(database: Database) -> None:
    """
    The country with its profile, what is on record, and what would be enough.
    """
    with database.begin() as connection:
        customer_id = make_customer(connection, country="DE")
        make_consent(connection, customer_id, topic="promotions", basis="implied")

    said = _said(database, Policy(), customer_id, "basis_not_enough")

    assert said.startswith("DE (profile ")
    assert "on record is implied, granted; wanted is consent" in said


def test_a_case_that_was_closed_goes_at_the_next_look(database: Database) -> None:
    """
    A message stays put off until it is looked at again; what is said of the case is what is true now, also where it is
    the case of another customer who is the same person.
    """
    policy = Policy(care=Care(cases=Cases(("complaint",), ("solved",), None, None, timedelta(days=14))))
    with database.begin() as connection:
        customer_id, other = make_customer(connection, person="p"), make_customer(connection, person="p")
        make_activity(connection, other, "complaint", occurred_at=NOW - timedelta(days=2))
    before = _said(database, policy, customer_id, "open_case")
    with database.begin() as connection:
        make_activity(connection, other, "solved", occurred_at=NOW - timedelta(hours=1))

    assert "opened 2026-04-01 21:00 UTC" == before
    assert "closed 2026-04-03 20:00 UTC; goes at the next look" == _said(database, policy, customer_id, "open_case")
