"""Suggestions who may be one and the same, and which addresses look mistyped; nothing is changed by them."""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, func, select, text

from cli import clarion
from core import schema
from core.commands import Desk
from core.database import Database
from customers.duplicates import suggestions
from customers.typos import intended, mistyped
from tests.factories import make_customer

MILK = {"first_name": "Ann", "last_name": "Berg"}


def pairs(connection: Connection) -> set[tuple[str, str, tuple[str, ...]]]:
    """Every suggestion without its score."""
    return {(pair.customer, pair.duplicate, pair.reasons) for pair in suggestions(connection)}


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"email": "a@x.example"}, {"email": "A@X.EXAMPLE"}, "same address"),
        ({"email": "ann.berg@gmail.com"}, {"email": "annberg+shop@googlemail.com"},
         "same mailbox apart from dots and plus"),
        ({"email": "ann+news@firm.example"}, {"email": "ann@firm.example"}, "same mailbox apart from dots and plus"),
        ({"email": "ann@gmail.com"}, {"email": "ann@gmial.com"}, "same mailbox, one domain mistyped"),
        ({"phone": "+49 40 123 45 67", "last_name": "Berg"}, {"phone": "040/1234567", "last_name": "BERG "},
         "same phone and last name"),
        ({**MILK, "company": "Paper Ltd."}, {**MILK, "company": "paper ltd"}, "same name and company"),
        ({**MILK, "email": "aberg@a.example"}, {**MILK, "email": "aberg@b.example"},
         "same name and name of the mailbox"),
        ({**MILK, "household": "H1"}, {**MILK, "household": "H1"}, "same name in the household"),
    ],
)  # fmt: skip
def test_duplicates_are_suggested_with_the_reason(
    module_database: Database, one: dict[str, Any], other: dict[str, Any], reason: str
) -> None:
    """
    Two customers who share what says much are suggested as one, the one known longer first.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        make_customer(connection, external_id="one", **one)
        make_customer(connection, external_id="other", **other)
        found = pairs(connection)
        undone.rollback()

    assert {("one", "other", (reason,))} == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"email": "a.b@firm.example"}, {"email": "ab@firm.example"}),  # dots mean something elsewhere
        ({"phone": "123", "last_name": "Berg"}, {"phone": "123", "last_name": "Berg"}),  # an extension
        ({"first_name": "Ann", "company": "Paper"}, {"first_name": "Ann", "company": "Paper"}),
        ({"email": "a@x.example", "person": "p"}, {"email": "a@x.example", "person": "p"}),  # known to be one
    ],
)
def test_little_in_common_suggests_nothing(
    module_database: Database, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """
    What many share, and what is known already, is no suggestion.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        make_customer(connection, external_id="one", **one)
        make_customer(connection, external_id="other", **other)
        found = pairs(connection)
        undone.rollback()

    assert set() == found


def test_key_that_very_many_share_says_nothing(database: Database) -> None:
    """
    Nine people of one name at one switchboard are a company, eight might be one customer entered again and again.
    """
    with database.begin() as connection:
        for _ in range(8):
            make_customer(connection, phone="040 1234567", last_name="Kim")
        assert 7 == len(suggestions(connection))
        make_customer(connection, phone="040 1234567", last_name="Kim")

        assert [] == suggestions(connection)


def test_likeliest_come_first(database: Database) -> None:
    """
    Several reasons weigh more than one.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="a", **MILK, company="Paper", phone="0401234567")
        make_customer(connection, external_id="b", **MILK, company="Paper", phone="0401234567")
        make_customer(connection, external_id="c", first_name="Bob", last_name="Lee", company="Paper")
        make_customer(connection, external_id="d", first_name="Bob", last_name="Lee", company="Paper")
        found = suggestions(connection)

    assert [("a", "b"), ("c", "d")] == [(pair.customer, pair.duplicate) for pair in found]
    assert found[0].score > found[1].score


@pytest.mark.parametrize(
    ("domain", "meant"),
    [("gmial.com", "gmail.com"), ("gmal.com", "gmail.com"), ("hotmaill.com", "hotmail.com"), ("gmx.dee", "gmx.de"),
     ("outlook.con", "outlook.com"), ("gmail.com", None), ("gmx.net", None), ("paper.example", None), ("qq.cn", None)],
)  # fmt: skip
def test_one_slip_away_from_a_common_domain(domain: str, meant: str | None) -> None:
    """
    A character too many, too few, another one or two changed places is a slip; a common domain is none.
    """
    from customers.typos import common_domains

    assert meant == intended(domain, common_domains())


def test_command_suggests_and_changes_nothing(make_workspace, database, clock) -> None:
    """
    `customer duplicates` prints pairs with reasons and mistyped addresses, masked; what is meant is only said.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="one", email="ann@gmail.com")
        make_customer(connection, external_id="two", email="ann@gmial.com")
    desk = Desk(clock=clock)
    desk.workspace, desk.database = make_workspace(database=database), database
    printed = CliRunner().invoke(clarion, ["customer", "duplicates", "--json"], obj=desk)
    shown = CliRunner().invoke(clarion, ["customer", "duplicates"], obj=desk)
    with database.begin() as connection:
        addresses = set(connection.execute(select(schema.customer.c.email)).scalars())

    document = json.loads(printed.stdout)
    assert [("one", "two", ["same mailbox, one domain mistyped"])] == [
        (pair["customer"], pair["duplicate"], pair["reasons"]) for pair in document["duplicates"]
    ]
    assert [{"customer": "two", "email": "a…@gmial.com", "meant": "a…@gmail.com"}] == document["typos"]
    assert "one domain mistyped" in shown.stdout
    assert {"ann@gmail.com", "ann@gmial.com"} == addresses


_MANY = """
    INSERT INTO customer (external_id, email, address_key, first_name, last_name, company, phone, household)
    SELECT 'C' || n, 'p' || n || '@' || (ARRAY['gmail.com', 'web.de', 'gmial.com', 'firm.example'])[1 + n % 4],
           md5('a' || n)::uuid, 'First' || n / 2 % 300, 'Last' || n / 2 % 3001, 'Firm ' || n / 2 % 20000,
           '040' || lpad((n / 2)::text, 7, '0'), CASE WHEN n % 3 = 0 THEN 'H' || n / 3 END
    FROM generate_series(1, 100000) AS n
"""


@pytest.mark.slow
def test_hundred_thousand_customers_are_looked_through_in_seconds(database: Database) -> None:
    """
    Keys are brought together, not pairs compared: the time grows with the number of customers (measured: see
    customers/duplicates.py), and far below a minute for 100,000.
    """
    with database.begin() as connection:
        connection.execute(text(_MANY))
        connection.execute(text("ANALYZE customer"))
        connection.execute(text("SET LOCAL statement_timeout = '30s'"))
        found = suggestions(connection)
        mistypes = mistyped(connection)
        customers = connection.execute(select(func.count()).select_from(schema.customer)).scalar_one()

    assert (100_000, 100) == (customers, len(found))
    assert [] == mistypes  # a domain that 25,000 customers have is no slip
