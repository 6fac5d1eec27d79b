"""What a person may ask for: the export holds every row about them, and after an erasure none names them."""

import json

import pytest
from sqlalchemy import LargeBinary, Text, select
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from core import audit, schema
from core.errors import NotFound
from customers.rights.erase import erase
from customers.rights.export import document, row_count
from customers.rights.ties import By, tied_tables, ties_of
from customers.rights.traces import CODES, STAYING
from tests.factories import LONG_AGO, SECRET, key_of, make_customer
from tests.rights_rows import EMAIL, EXTERNAL, FORMER, WORDS, found_anywhere, make_person, tables_without_rows


@pytest.fixture
def person(database):
    """The number of a customer who is named wherever that is possible, beside another one."""
    with database.begin() as connection:
        make_customer(connection, email="someone@else.example", consents=("promotions",))
        return make_person(connection)


def _everything(database, customer_id):
    with database.begin() as connection:
        return document(connection, customer_id)


def _erase(database, customer_id, now=LONG_AGO):
    with database.begin() as connection:
        return erase(connection, SECRET, customer_id, now=now)


def test_ties_are_found_wherever_a_column_refers_to_people():
    """
    Every foreign key to a customer or message, and every column for a key of an address, makes its table one of those
    that are exported and erased.
    """
    expected = {
        table.name
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if column.name in ("customer_id", "message_id", "address_key", "email")
        or {key.column.table.name for key in column.foreign_keys} & {"customer", "message"}
    }

    assert expected <= {table.name for table in tied_tables()}
    assert {By.CUSTOMER, By.MESSAGE, By.ADDRESS} == {tie.by for tie in ties_of(schema.feedback)}


def test_every_text_that_stays_is_emptied_or_known_to_name_nobody():
    """
    Of the tables whose rows stay after an erasure, each column that can hold words is looked at: one made later, too.
    """
    wordy = (Text, LargeBinary, JSONB, INET, ARRAY)
    for table, emptied in STAYING.items():
        columns = {column.name for column in table.columns if isinstance(column.type, wordy)}
        assert columns == CODES[table] | (columns & set(emptied)), table.name
        assert not CODES[table] & set(emptied)


def test_the_person_of_these_tests_is_in_every_table(database, person):
    """
    No table that holds rows about people is without one: else the tests here would say nothing about it.
    """
    with database.begin() as connection:
        assert [] == tables_without_rows(connection)


def test_export_holds_every_row_that_names_the_person(database, person):
    """
    Whatever row the whole database has of them, by text or by key, is in the export, and no row of anybody else.
    """
    exported = _everything(database, person)

    with database.begin() as connection:
        for table in tied_tables():
            rows = connection.execute(select(table)).mappings().all()
            others = [row for row in rows if row.get("email") == "someone@else.example"]
            others += [row for row in rows if table is schema.consent and row["customer_id"] != person]
            assert len(rows) - len(others) == len(exported["tables"][table.name]), table.name
    assert "someone@else.example" not in json.dumps(exported)
    assert all(word in json.dumps(exported).lower() for word in WORDS)
    assert [EXTERNAL, "KD-77120-old"] == exported["customers"]
    assert row_count(exported) == sum(len(rows) for rows in exported["tables"].values())


def test_export_is_json_with_contents_to_read(database, person):
    """
    Instants, amounts, networks and kept mails are texts and numbers; the staff's names are left out.
    """
    exported = _everything(database, person)

    assert exported == json.loads(json.dumps(exported))
    assert exported["tables"]["kept_content"][0]["content"].startswith("To: Annelore")
    assert 7 * 86400 == exported["tables"]["preference"][0]["most_within"]
    assert "anna" not in [value for row in exported["tables"]["audit"] for value in row.values()]


def test_erased_person_is_named_nowhere(database, person):
    """
    No text, JSON value, array or octet of the whole database holds the address, the former one, the name, the
    telephone number or the customer's number any more.
    """
    with database.begin() as connection:
        before = found_anywhere(connection)
    erased = _erase(database, person)

    with database.begin() as connection:
        assert len(before) > 40
        assert [] == found_anywhere(connection)
        assert ["someone@else.example"] == list(connection.execute(select(schema.customer.c.email)).scalars())
    assert (1, 1) == (erased.customers, erased.skipped)
    assert 1 == erased.removed["purchase"]


def test_keyed_hash_is_all_that_is_left(database, person):
    """
    The address is suppressed for good, by a reason of its own, with nothing beside it; who did it is on record.
    """
    _erase(database, person)

    with database.begin() as connection:
        entries = connection.execute(
            select(schema.suppression.c.address_key, schema.suppression.c.reason, schema.suppression.c.evidence)
            .where(schema.suppression.c.lifted_at.is_(None))
            .order_by(schema.suppression.c.id)
        ).all()
        tombstones = connection.execute(select(schema.erasure).where(schema.erasure.c.readmitted_at.is_(None))).all()
        action = connection.execute(select(schema.audit.c.action).order_by(schema.audit.c.id.desc()).limit(1)).scalar()
        flaws = audit.verify(connection).flaws
    assert {(key_of(EMAIL), "unsubscribed"), (key_of(EMAIL), "legal"), (key_of(EMAIL), "erased"),
            (key_of(FORMER), "legal"), (key_of(FORMER), "erased")} == {(row[0], row[1]) for row in entries}  # fmt: skip
    assert [{"message_id": 0}, {}, {}, {}, {}] == [row.evidence for row in entries]
    assert {key_of(EMAIL), key_of(FORMER)} == {row.address_key for row in tombstones}
    assert ("customer.erase", ()) == (action, flaws)


def test_erasing_twice_says_there_is_nobody(database, person):
    """
    The second time there is no such customer, and nothing is written.
    """
    _erase(database, person)
    with pytest.raises(NotFound, match="no customer with the number"):
        _erase(database, person)


def test_a_row_of_a_table_nobody_spoke_of_is_removed(database, person):
    """
    A table made later, with nothing but a foreign key to customer, is exported and erased without a word about it.
    """
    from sqlalchemy import BigInteger, Column, ForeignKey, Table

    late = Table("late_comer", schema.metadata, Column("id", BigInteger, primary_key=True),
                 Column("customer_id", BigInteger, ForeignKey("customer.id")), Column("note", Text))  # fmt: skip
    try:
        with database.begin() as connection:
            late.create(connection)
            connection.execute(late.insert().values(id=1, customer_id=person, note=EMAIL))
            assert [EMAIL] == [row["note"] for row in document(connection, person)["tables"]["late_comer"]]
        _erase(database, person)
        with database.begin() as connection:
            assert [] == connection.execute(select(late)).all()
            assert [] == found_anywhere(connection)
    finally:
        schema.metadata.remove(late)


def test_customers_who_are_one_person_go_together(database):
    """
    Who shares the mailbox, or the column person, is the same person for us; a former address alone is not, nor is
    who shares a mailbox with another one of them.
    """
    with database.begin() as connection:
        first = make_customer(connection, email="a@pappel.example", person="P1")
        make_customer(connection, email="b@pappel.example", person="P1")
        make_customer(connection, email="A@PAPPEL.example")
        beside = make_customer(connection, email="B@PAPPEL.example")
        other = make_customer(connection, email="c@pappel.example")
        values = {"customer_id": first, "address_key": key_of("c@pappel.example"), "email": "c@pappel.example"}
        connection.execute(schema.customer_address.insert().values(**values))

    erased = _erase(database, first)

    with database.begin() as connection:
        left = connection.execute(select(schema.customer.c.id)).scalars().all()
        blocked = set(connection.execute(select(schema.suppression.c.address_key)).scalars())
    assert (3, [beside, other]) == (erased.customers, sorted(left))
    assert {key_of("a@pappel.example")} == blocked  # the other mailbox is still somebody's
