"""Imports that name customers by what they were: the external id of one who was merged, or an address they had."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core import schema
from core.database import Database
from core.workspace import Workspace
from customers.importing.files import Counts, import_file
from customers.merging.merge import merge
from tests import factories

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Import = Callable[..., Counts]


@pytest.fixture
def imported(make_workspace: Callable[..., Workspace], database: Database, tmp_path: Path) -> Import:
    """Imports the text as a file of the kind."""
    workspace = make_workspace(database=database)

    def run(content: str, kind: str = "customers") -> Counts:
        path = tmp_path / "list.csv"
        path.write_text(content, encoding="utf-8")
        return import_file(database, workspace, kind, path, now=NOW).counts

    return run


@pytest.fixture
def ann(database: Database) -> int:
    """Ann at new@, into whom another entry of hers, at old@, was merged."""
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, external_id="ann-2", email="old@customers.example")
        into_id = factories.make_customer(
            connection, external_id="ann", email="new@customers.example", first_name="Ann"
        )  # fmt: skip
        merge(connection, merged_id, into_id, because="same person", actor="t", now=NOW)
    return into_id


def customers(database: Database) -> Mapping[str, Any]:
    """External id → row of every customer."""
    with database.begin() as connection:
        rows = connection.execute(select(schema.customer)).mappings().all()
    return {row["external_id"]: row for row in rows}


def test_merged_customer_in_a_file_fills_in_and_changes_nothing(imported: Import, ann: int, database: Database) -> None:
    """
    The system a file comes from still has the merged entry: it makes no new customer, and does not change the address
    back; what was not known is taken.
    """
    file = "external_id,email,first_name,last_name,shoe\nann-2,old@customers.example,Annie,Berg,38\n"
    first, again = imported(file), imported(file)
    row = customers(database)["ann"]

    assert (0, 1, 0) == (first.created, first.updated, first.rejected)
    assert (0, 0, 1) == (again.created, again.updated, again.unchanged)
    assert ("new@customers.example", "Ann", "Berg", {"shoe": "38"}) == tuple(
        row[name] for name in ("email", "first_name", "last_name", "attributes")
    )


def test_both_entries_in_one_file_are_no_contradiction(imported: Import, ann: int, database: Database) -> None:
    """
    A file with the merged entry beside the one that is left is imported whole, in any order; the latter's row counts.
    """
    file = "external_id,email,company\nann-2,old@customers.example,Old Ltd\nann,new@customers.example,New Ltd\n"
    first, again = imported(file), imported(file)

    assert (0, 1, 0) == (first.created, first.updated, first.rejected)
    assert (2, 0) == (again.unchanged, again.rejected)
    assert {"ann": "New Ltd"} == {name: row["company"] for name, row in customers(database).items()}


def test_old_address_alone_finds_the_merged_customer(imported: Import, ann: int, database: Database) -> None:
    """
    A list of addresses with the old one is about the customer who is left, at the new one; consent is theirs.
    """
    counts = imported("email,topics,consent_at\nOLD@customers.example,news,2026-02-01\n")
    with database.begin() as connection:
        agreed = connection.execute(select(schema.consent.c.customer_id, schema.consent.c.topic)).all()

    assert (0, 0) == (counts.created, counts.rejected)
    assert [(ann, "news")] == [tuple(row) for row in agreed]
    assert "new@customers.example" == customers(database)["ann"]["email"]


@pytest.mark.parametrize("who", ["external_id\nann-2", "email\nold@customers.example"])
@pytest.mark.parametrize(
    ("kind", "table", "columns", "cells"),
    [
        ("events", schema.activity, "name,occurred_at", "ticket_opened,2026-02-01"),
        ("purchases", schema.purchase, "order_id,ordered_at,amount", "O77,2026-02-01,12.50"),
        ("consents", schema.consent, "topic,captured_at", "news,2026-02-01"),
    ],
)
def test_rows_about_the_former_name_are_about_the_merged_customer(
    imported: Import, ann: int, database: Database, who: str, kind: str, table: Any, columns: str, cells: str
) -> None:
    """
    Purchases, events and consents that name the old external id or address go to the customer who is left.
    """
    header, name = who.split("\n")
    counts = imported(f"{header},{columns}\n{name},{cells}\n", kind)
    with database.begin() as connection:
        found = connection.execute(select(table.c.customer_id)).scalars().all()

    assert (1, 0, [ann]) == (counts.created, counts.rejected, found)


def test_address_that_somebody_has_is_theirs(imported: Import, ann: int, database: Database) -> None:
    """
    An address that somebody has now means them, whoever had it before.
    """
    with database.begin() as connection:
        factories.make_customer(connection, external_id="new-owner", email="old@customers.example")
    imported("email,first_name\nold@customers.example,Olga\n")

    assert {"ann": "Ann", "new-owner": "Olga"} == {n: row["first_name"] for n, row in customers(database).items()}


def test_address_changed_by_an_import_is_remembered(imported: Import, database: Database) -> None:
    """
    Who has another address since is found by the former one, and a list with it makes nobody new; who comes back to it
    has it as their address, and the other one as a former one.
    """
    imported("external_id,email\nben,first@customers.example\n")
    imported("external_id,email\nben,second@customers.example\n")
    listed = imported("email,last_name\nfirst@customers.example,Lee\n")
    moved = dict(customers(database)["ben"])
    imported("external_id,email\nben,first@customers.example\n")
    with database.begin() as connection:
        former = connection.execute(select(schema.customer_address.c.email)).scalars().all()

    assert (0, 1) == (listed.created, listed.updated)
    assert ("second@customers.example", "Lee") == (moved["email"], moved["last_name"])
    assert ["second@customers.example"] == former
    assert "first@customers.example" == customers(database)["ben"]["email"]


def test_person_and_household_are_columns(imported: Import, database: Database) -> None:
    """
    Who is one human being, or lives together, is said by a file.
    """
    imported("external_id,email,Person,Haushalt\na,a@customers.example,P1,H1\nb,b@customers.example,P1,H1\n")

    assert {("P1", "H1")} == {(row["person"], row["household"]) for row in customers(database).values()}
