"""What one human being says no to holds at all their addresses, whatever came first."""

import random
import threading
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from core import schema
from core.database import Database
from customers.entries import OF_MAILBOX
from customers.merging.merge import merge
from suppression.gate import REASONS
from suppression.record import lift, suppress
from suppression.wishes import pause
from tests.factories import key_of, make_customer

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST, SECOND = "ann@home.example", "ann@work.example"
#: What must have happened for the no at the first address to hold at the second one.
EVENTS = ("opt-out", "first is known", "second is known", "one person")


def _reasons(connection: Connection, email: str) -> set[str]:
    entry = schema.suppression.c
    found = select(entry.reason).where(entry.address_key == key_of(email), entry.lifted_at.is_(None))
    return set(connection.execute(found).scalars())


def _no(connection: Connection, email: str, reason: str, **more: Any) -> None:
    expires_at = NOW + timedelta(days=30) if reason == "paused" else None
    given = {"scope": "global", "source": "test", "expires_at": expires_at, "now": NOW} | more
    suppress(connection, key_of(email), reason=reason, **given)


@pytest.mark.parametrize("order", list(permutations(EVENTS)), ids=lambda order: " ".join(word[0] for word in order))
def test_no_holds_at_both_addresses_in_whatever_order(database: Database, order: tuple[str, ...]) -> None:
    """
    Said before or after the customers are known and one person: every reason of a person's is at both addresses, none
    that tells of a mailbox is.
    """
    customer = schema.customer
    with database.begin() as connection:
        for event in order:
            before = order.index("one person") < order.index(event)
            person = "P" if before else None
            if event == "opt-out":
                for reason in {*REASONS, *OF_MAILBOX}:
                    _no(connection, FIRST, reason)
            elif event == "one person":
                connection.execute(update(customer).values(person="P"))
            else:
                email = FIRST if event == "first is known" else SECOND
                make_customer(connection, email=email, person=person)

        assert {*REASONS, *OF_MAILBOX} == _reasons(connection, FIRST)
        assert set(REASONS) - set(OF_MAILBOX) == _reasons(connection, SECOND)


def test_no_goes_no_further_than_the_person(database: Database) -> None:
    """
    Somebody else at a shared mailbox does not take it on to their own person's addresses.
    """
    with database.begin() as connection:
        make_customer(connection, email=FIRST, person="P")
        make_customer(connection, email="office@x.example", person="P")
        make_customer(connection, email="office@x.example", person="Q")
        make_customer(connection, email="bob@x.example", person="Q")
        _no(connection, FIRST, "unsubscribed")

        assert {"unsubscribed"} == _reasons(connection, "office@x.example")
        assert set() == _reasons(connection, "bob@x.example")


def test_scope_and_end_are_those_of_the_no(database: Database) -> None:
    """
    A copy forbids what the entry forbids, as long; a longer one takes the place of a shorter.
    """
    entry = schema.suppression.c
    with database.begin() as connection:
        for email in (FIRST, SECOND):
            make_customer(connection, email=email, person="P")
        _no(connection, SECOND, "manual", scope="topic", scope_name="news", expires_at=NOW + timedelta(days=9))
        _no(connection, FIRST, "manual", scope="topic", scope_name="news", expires_at=NOW + timedelta(days=40))
        rows = connection.execute(
            select(entry.scope, entry.scope_name, entry.expires_at, entry.source)
            .where(entry.address_key == key_of(SECOND), entry.lifted_at.is_(None))
        ).all()  # fmt: skip

    assert [("topic", "news", NOW + timedelta(days=40), "test")] == [tuple(row) for row in rows]


def test_lifting_at_one_address_says_nothing_of_the_other(database: Database) -> None:
    """
    Who comes back at one address has proven that one; nothing brings the lifted entry back by itself.
    """
    with database.begin() as connection:
        for email in (FIRST, SECOND):
            make_customer(connection, email=email, person="P")
        _no(connection, FIRST, "unsubscribed")
        lift(connection, key_of(FIRST), because="came back", now=NOW)
        connection.execute(update(schema.customer).values(person="P", first_name="Ann"))

        assert (set(), {"unsubscribed"}) == (_reasons(connection, FIRST), _reasons(connection, SECOND))


def test_break_is_over_at_both_addresses(database: Database) -> None:
    """
    A break is taken, moved and ended for the person, at whichever address.
    """
    with database.begin() as connection:
        for email in (FIRST, SECOND):
            make_customer(connection, email=email, person="P")
        for days in (30, 10):
            pause(connection, key_of(FIRST), NOW + timedelta(days=days), source="page", now=NOW)
        ends = select(schema.suppression.c.expires_at).where(schema.suppression.c.lifted_at.is_(None))
        moved = set(connection.execute(ends).scalars())
        pause(connection, key_of(SECOND), None, source="page", now=NOW)

        assert {NOW + timedelta(days=10)} == moved
        assert (set(), set()) == (_reasons(connection, FIRST), _reasons(connection, SECOND))


def test_merging_makes_the_no_hold_for_the_whole_person(database: Database) -> None:
    """
    A customer who is merged brings the opt-out to every address of the person they are now.
    """
    with database.begin() as connection:
        alone = make_customer(connection, email="old@x.example")
        into = make_customer(connection, email=FIRST, person="P")
        make_customer(connection, email=SECOND, person="P")
        _no(connection, "old@x.example", "complaint")
        merge(connection, alone, into, because="the same", actor="anna", now=NOW)

        assert ({"complaint"}, {"complaint"}) == (_reasons(connection, FIRST), _reasons(connection, SECOND))


def test_imported_lists_hold_for_the_person(database: Database) -> None:
    """
    Many entries in one statement, of many people, are each at all addresses of their person and nowhere else.
    """
    chance = random.Random(4)
    with database.begin() as connection:
        for number in range(40):
            make_customer(connection, email=f"c{number}@x.example", person=f"P{number // 4}")
        said = {number for number in range(40) if chance.random() < 0.1}
        rows = [{"address_key": key_of(f"c{number}@x.example"), "scope": "global", "reason": "legal",
                 "source": "import"} for number in sorted(said)]  # fmt: skip
        connection.execute(insert(schema.suppression).values(rows))
        held = {number for number in range(40) if _reasons(connection, f"c{number}@x.example")}

    assert {number for number in range(40) if {number // 4} & {one // 4 for one in said}} == held
    assert said < held


def test_opt_outs_at_two_addresses_at_once_hold_at_both(database: Database) -> None:
    """
    Nobody waits for somebody who waits for them, and one entry each is in force.
    """
    addresses = [f"ann{number}@x.example" for number in range(4)]
    with database.begin() as connection:
        for email in addresses:
            make_customer(connection, email=email, person="P")
    together, failed = threading.Barrier(len(addresses)), []

    def opt_out(email: str) -> None:
        try:
            with database.begin() as connection:
                together.wait()
                _no(connection, email, "unsubscribed")
        except Exception as error:  # noqa: BLE001  whatever it is, the test has to say it
            failed.append(error)

    threads = [threading.Thread(target=opt_out, args=(email,)) for email in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.begin() as connection:
        assert 4 == connection.execute(select(func.count()).select_from(schema.suppression)).scalar_one()
    assert [] == failed
