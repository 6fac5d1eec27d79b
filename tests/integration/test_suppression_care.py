"""Key accounts, open cases, role accounts and reserved names, asked of the database for one customer at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, literal, select

from core import schema
from core.care_settings import Addresses
from core.database import Database
from core.open_cases import open_case_since
from core.settings import Settings
from suppression.care import Care, Cases, KeyAccounts, key_account_id
from suppression.mailboxes import Mailboxes, unfit
from tests.factories import LONG_AGO, make_activity, make_customer

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CASES = Cases(("ticket_opened", "complaint"), ("ticket_closed",), None, timedelta(days=90), timedelta(days=14))
NAMED = Cases(CASES.opened_by, CASES.closed_by, "ticket", None, CASES.wait)


def happened(connection: Connection, customer_id: int, *events: tuple[str, float] | tuple[str, float, str]) -> None:
    """Events so many days before now, of a ticket where one is named."""
    for name, days, *ticket in events:
        properties = {"ticket": ticket[0]} if ticket else {}
        occurred_at = NOW - timedelta(days=days)
        make_activity(connection, customer_id, name, occurred_at=occurred_at, properties=properties)


def open_since(connection: Connection, customer_id: int, cases: Cases) -> float | None:
    """For how many days a case of the customer has been open; None: none is."""
    since = open_case_since(schema.customer.c.id, cases, NOW)
    at = connection.execute(select(since).where(schema.customer.c.id == customer_id)).scalar_one()
    return None if at is None else (NOW - at) / timedelta(days=1)


@pytest.mark.parametrize(
    ("cases", "events", "days"),
    [
        (CASES, [], None),
        (CASES, [("ticket_opened", 3)], 3),
        (CASES, [("ticket_opened", 3), ("ticket_closed", 1)], None),
        (CASES, [("ticket_closed", 3), ("ticket_opened", 1)], 1),
        (CASES, [("ticket_opened", 5), ("ticket_closed", 3), ("complaint", 1)], 1),
        (CASES, [("ticket_opened", 5), ("complaint", 4)], 5),
        (CASES, [("ticket_opened", 91)], None),  # forgotten
        (CASES, [("ticket_opened", -1)], None),  # not yet
        (CASES, [("ticket_opened", 3), ("ticket_closed", -1)], 3),  # closed only tomorrow
        (CASES, [("page_view", 1)], None),
        (NAMED, [("ticket_opened", 500, "A")], 500),
        (NAMED, [("ticket_opened", 5, "A"), ("ticket_opened", 4, "B"), ("ticket_closed", 3, "A")], 4),
        (NAMED, [("ticket_opened", 5, "A"), ("ticket_closed", 3, "B")], 5),
        (NAMED, [("complaint", 5), ("ticket_closed", 3)], None),
    ],
)
def test_case_is_open_until_it_is_closed(
    module_database: Database, cases: Cases, events: list[Any], days: float | None
) -> None:
    """
    What opens and closes a case, in the order of time, decides; with a property, each case by itself.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        customer_id = make_customer(connection)
        happened(connection, customer_id, *events)
        found = open_since(connection, customer_id, cases)
        undone.rollback()

    assert days == found


@pytest.mark.parametrize(
    ("shared", "is_one"),
    [({"person": "p"}, True), ({"email": "both@people.firm"}, True), ({"household": "h"}, False), ({}, False)],
)
def test_case_is_open_for_the_whole_person(module_database: Database, shared: dict[str, str], is_one: bool) -> None:
    """
    The case of one name of a person, or of one customer at an address, counts for the others; not for a household.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        other, customer_id = make_customer(connection, **shared), make_customer(connection, **shared)
        happened(connection, other, ("ticket_opened", 3))
        found = open_since(connection, customer_id, CASES)
        undone.rollback()

    assert (3 if is_one else None) == found


@pytest.mark.parametrize(
    ("rules", "owner", "level", "is_key"),
    [
        (KeyAccounts(), "anna", None, True),
        (KeyAccounts(), None, "top", False),
        (KeyAccounts(), "", "top", False),
        (KeyAccounts((("pyramid", "top"),)), "anna", "top", True),
        (KeyAccounts((("pyramid", "top"),)), "anna", "small", False),
        (KeyAccounts((("pyramid", "top"),)), None, "top", False),
        (KeyAccounts((("abc", "A"), ("pyramid", "big"), ("pyramid", "top"))), "anna", "big", True),
        (KeyAccounts((("pyramid", "top"),), owned=False), None, "top", True),
    ],
)
def test_key_account_is_told_by_owner_and_level(
    module_database: Database, rules: KeyAccounts, owner: str | None, level: str | None, is_key: bool
) -> None:
    """
    An owner, and one of the levels where some are named; without the need of an owner the level alone.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        customer_id = make_customer(connection, owner=owner)
        if level is not None:
            metrics = schema.customer_metrics.insert().values(customer_id=customer_id, pyramid=level, as_of=LONG_AGO)
            connection.execute(metrics)
        asked = select(key_account_id(schema.customer.c.id, rules)).where(schema.customer.c.id == customer_id)
        found = connection.execute(asked).scalar_one()
        undone.rollback()

    assert (customer_id if is_key else None) == found


def test_care_that_names_no_topics_is_about_all() -> None:
    """
    Without `promotions` every topic is one; with it, only those named.
    """
    everything, offers = Care(cases=CASES), Care(frozenset({"offers"}), KeyAccounts(), CASES)

    assert everything.waits_for_cases("news")
    assert not everything.spares_key_accounts("news")
    assert (True, False) == (offers.spares_key_accounts("offers"), offers.spares_key_accounts("news"))
    assert (True, False) == (offers.waits_for_cases("offers"), offers.waits_for_cases("news"))


# --- addresses ---------------------------------------------------------------------------------------------------


def settings(addresses: Addresses, *urls: str) -> Settings:
    """Settings with these transports."""
    return Settings.model_validate({
        "organisation": {"name": "P", "postal_address": "1 Mill Lane, Papertown"},
        "senders": {"a": {"name": "A", "email": "a@paper.firm"}},
        "topics": {"news": {"label": "News"}},
        "transports": {f"t{number}": {"url": url} for number, url in enumerate(urls)},
        "addresses": addresses.model_dump(),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("urls", "reserved", "spares"),
    [
        (["smtp://127.0.0.1:2525"], None, False),
        (["smtp://localhost"], None, False),
        (["smtp://relay.firm"], None, True),
        (["smtp://127.0.0.1:2525", "smtps://relay.firm"], None, True),
        (["smtp://relay.firm"], "write", False),
        (["smtp://127.0.0.1"], "skip", True),
    ],
)
def test_reserved_names_are_skipped_once_mail_leaves_the_machine(urls: list[str], reserved: Any, spares: bool) -> None:
    """
    A workspace that tries things out on its own machine may write to example.com; one with a relay does not (S-10.8).
    """
    assert spares == Mailboxes.of(settings(Addresses(reserved=reserved), *urls)).spares_reserved


@pytest.mark.parametrize(
    ("email", "in_bulk", "owed"),
    [
        ("ann@people.firm", None, None),
        ("Abuse@people.firm", "role_account", None),
        ("postmaster+x@people.firm", "role_account", None),
        ("abuser@people.firm", None, None),
        ("info@people.firm", "role_account", None),
        ("ann@example.com", "reserved_address", "reserved_address"),
        ("ann@shop.Example.Com", "reserved_address", "reserved_address"),
        ("ann@paper.example", "reserved_address", "reserved_address"),
        ("ann@notexample.com", None, None),
        ("ann@example.com.firm", None, None),
        ("ann@here.test", "reserved_address", "reserved_address"),
        (None, None, None),
    ],
)
def test_addresses_of_nobody_get_nothing(
    module_database: Database, email: str | None, in_bulk: str | None, owed: str | None
) -> None:
    """
    Role accounts get no bulk mail, reserved names no mail at all, in any spelling (S-10.7, S-10.8).
    """
    rules = Mailboxes.of(settings(Addresses(role_accounts="skip"), "smtp://relay.firm"))
    with module_database.begin() as connection:
        column = literal(email, schema.customer.c.email.type)
        found = connection.execute(
            select(unfit(column, rules, is_bulk=True), unfit(column, rules, is_bulk=False))
        ).one()

    assert (in_bulk, owed) == tuple(found)


def test_some_role_accounts_get_no_bulk_mail_anyway(module_database: Database) -> None:
    """
    Where nothing is set abuse@ and postmaster@ get no bulk mail, and info@ does.
    """
    rules = Mailboxes.of(settings(Addresses(), "smtp://127.0.0.1"))
    with module_database.begin() as connection:
        asked = [unfit(literal(f"{name}@people.firm"), rules, is_bulk=True) for name in ("abuse", "postmaster", "info")]
        found = connection.execute(select(*asked)).one()

    assert ("role_account", "role_account", None) == tuple(found)
