"""Merging customers: every row follows, the stricter word holds, each run writes to the person once."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Table, func, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, INET, JSONB
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE
from sqlalchemy.types import BigInteger, Boolean, DateTime, Integer, Interval, LargeBinary, Numeric, SmallInteger, Text

from campaigns.surveys.answering import record
from campaigns.surveys.definition import SurveyFile
from campaigns.surveys.files import Survey
from core import schema
from core.database import Database
from core.errors import UsageError
from core.settings import Tiers
from customers import metrics
from customers.entries import OF_MAILBOX
from customers.identity import find_customer
from customers.merging.merge import Merged, merge
from customers.merging.rows import naming_columns
from customers.merging.words import words_of
from suppression import refused
from suppression.record import unsubscribe
from tests import factories
from tests.processes import wait_for

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Tables = pytest.mark.parametrize("table", sorted({table.name for table, _ in naming_columns()}))


def merged_into(connection: Connection, merged_id: int, into_id: int, **changes: Any) -> Merged:
    """The one customer is part of the other."""
    given = {"because": "same person", "actor": "tester", "now": NOW} | changes
    return merge(connection, merged_id, into_id, **given)


def of(connection: Connection, table: Table, customer_id: int) -> int:
    """How many rows of the table name the customer."""
    query = select(func.count()).select_from(table).where(table.c.customer_id == customer_id)
    return int(connection.execute(query).scalar_one())


_ANY: dict[type, Callable[[int], Any]] = {
    Text: lambda number: f"text{number}",
    SmallInteger: lambda number: number % 100,
    Integer: lambda number: number,
    BigInteger: lambda number: number,
    Numeric: lambda number: number,
    Boolean: lambda _: False,
    DateTime: lambda _: NOW,
    Interval: lambda _: timedelta(days=1),
    LargeBinary: lambda number: str(number).encode(),
    JSONB: lambda _: {},
    INET: lambda _: "192.0.2.1",
    UUID_TYPE: lambda number: f"00000000-0000-0000-0000-{number:012d}",
    ARRAY: lambda _: [],
}
#: What a check of the database asks for.
_FITTING = {
    ("consent", "state"): "granted", ("task", "state"): "open", ("staff_notice", "state"): "planned",
    ("rights_request", "kind"): "export", ("rights_request", "state"): "requested",
    ("inbound_mail", "state"): "received", ("message", "state"): "accepted", ("registration", "state"): "confirmed",
    ("enrolment", "due_at"): NOW,
}  # fmt: skip


def any_row(connection: Connection, table: Table, customer_id: int, number: int) -> None:
    """A row of the table that names the customer, whatever columns the table has."""
    if table is schema.message:
        factories.make_message(connection, factories.make_run(connection, f"campaign{number}"), customer_id)
        return
    values: dict[str, Any] = {}
    for column in table.columns:
        if any(key.column is schema.customer.c.id for key in column.foreign_keys):
            values[column.name] = customer_id
        elif (table.name, column.name) == ("enrolment", "version_id"):
            values[column.name] = factories.make_sequence_version(connection)
        elif (table.name, column.name) == ("registration", "event"):
            values[column.name] = factories.make_event(connection)
        elif (table.name, column.name) in _FITTING or not (
            column.nullable or column.identity is not None or column.server_default is not None
        ):
            values[column.name] = _fitting(table, column, number)
    connection.execute(insert(table).values(**values))


def _fitting(table: Table, column: Column[Any], number: int) -> Any:
    fixed = _FITTING.get((table.name, column.name))
    kind = type(column.type)
    assert kind in _ANY or fixed is not None or kind is ENUM, f"say what a {kind.__name__} may hold"
    return fixed if fixed is not None else _ANY[kind](number)


@Tables
def test_merge_moves_rows_of_every_table(module_database: Database, table: str) -> None:
    """
    Whatever table names customers: its rows of the merged one name the one who is left.
    """
    named = schema.metadata.tables[table]
    with module_database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        any_row(connection, named, merged_id, 1)
        if table not in ("preference", "customer_metrics"):  # one row a customer
            any_row(connection, named, into_id, 2)
        before = of(connection, named, merged_id) + of(connection, named, into_id)
        merged_into(connection, merged_id, into_id)

        assert 0 == of(connection, named, merged_id)
        # The merge itself adds a name and an address.
        assert before + (table in ("customer_alias", "customer_address")) == of(connection, named, into_id)


# --- words -------------------------------------------------------------------------------------------------------


def latest(connection: Connection, customer_id: int) -> dict[str, tuple[str, str, datetime | None]]:
    """Topic → state, basis and end of the customer's latest word."""
    found = words_of(connection, [customer_id])
    return {topic: (word.state, word.basis, word.expires_at) for (_, topic), (word,) in found.items()}


def test_withdrawal_of_either_outlasts_a_later_consent(database: Database) -> None:
    """
    Who said no under one name has said no, though the other name agreed after that; what was said stays on record.
    """
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        factories.make_consent(connection, merged_id, state="withdrawn", captured_at=NOW - timedelta(days=90))
        factories.make_consent(connection, into_id, captured_at=NOW - timedelta(days=3))
        merged = merged_into(connection, merged_id, into_id)

        assert 1 == merged.consents
        assert {"promotions": ("withdrawn", "consent", None)} == latest(connection, into_id)
        assert 3 == of(connection, schema.consent, into_id)


def test_consent_of_one_alone_is_kept(database: Database) -> None:
    """
    Silence is no word: what only one of the two agreed to, the one who is left has agreed to.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, consents=("news",))
        into_id = factories.make_customer(connection, consents=("promotions",))
        merged = merged_into(connection, merged_id, into_id)

        assert 0 == merged.consents
        assert {"news", "promotions"} == set(latest(connection, into_id))


def test_same_consent_of_both_stays_twice(database: Database) -> None:
    """
    One import gave both the same consent at the same instant: the proof of each is kept.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, external_id="old", consents=("news",))
        into_id = factories.make_customer(connection, consents=("news",))
        merged_into(connection, merged_id, into_id)
        sources = select(schema.consent.c.source).where(schema.consent.c.customer_id == into_id)

        assert {"test", "test (of old)"} == set(connection.execute(sources).scalars())


def test_suppression_follows_the_person(database: Database) -> None:
    """
    What a person said at the old address holds at the one that is left, as long; a dead mailbox says nothing of it.
    """
    until = NOW + timedelta(days=20)
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, email="old@customers.example")
        into_id = factories.make_customer(connection, email="new@customers.example")
        factories.make_suppression(connection, "old@customers.example", reason="complaint")
        factories.make_suppression(connection, "old@customers.example", reason="paused", expires_at=until)
        factories.make_suppression(
            connection, "new@customers.example", reason="paused", expires_at=NOW + timedelta(days=1)
        )
        for reason in (refused.REASON, refused.SOFT_BOUNCES, refused.MAILBOX_FULL):
            factories.make_suppression(connection, "old@customers.example", reason=reason, scope="channel")
        factories.make_suppression(connection, "old@customers.example", reason="legal", lifted_at=NOW)
        merged = merged_into(connection, merged_id, into_id)
        entry = schema.suppression
        rows = connection.execute(
            select(entry.c.reason, entry.c.expires_at, entry.c.source)
            .where(entry.c.address_key == factories.key_of("new@customers.example"), entry.c.lifted_at.is_(None))
        )  # fmt: skip

        assert {refused.REASON, refused.SOFT_BOUNCES, refused.MAILBOX_FULL} == set(OF_MAILBOX)
        assert 2 == merged.suppressions
        assert {("complaint", None, "merge"), ("paused", until, "merge")} == {tuple(row) for row in rows}


@pytest.mark.parametrize(
    ("merged_wish", "own_wish", "left"),
    [((2, 7), (1, 7), (1, 7)), ((1, 30), (1, 7), (1, 30)), ((None, None), (3, 7), (3, 7)), ((0, 7), (1, 7), (0, 7))],
)
def test_wish_for_less_is_kept(database: Database, merged_wish: Any, own_wish: Any, left: Any) -> None:
    """
    Of two wishes how often to be written to the one for less is left.
    """
    with database.begin() as connection:
        people = [factories.make_customer(connection), factories.make_customer(connection)]
        for customer_id, (most, days) in zip(people, (merged_wish, own_wish), strict=True):
            within = None if days is None else timedelta(days=days)
            values = {"customer_id": customer_id, "most_messages": most, "most_within": within, "source": "page"}
            connection.execute(insert(schema.preference).values(**values))
        merged_into(connection, *people)
        wish = schema.preference
        row = connection.execute(select(wish.c.customer_id, wish.c.most_messages, wish.c.most_within)).one()

        assert (people[1], left[0], timedelta(days=left[1])) == tuple(row)


# --- messages ----------------------------------------------------------------------------------------------------


def messages_of(connection: Connection, run_id: int) -> dict[int, tuple[int | None, str, str | None]]:
    """Message → customer, state and skip reason."""
    message = schema.message
    query = select(message.c.id, message.c.customer_id, message.c.state, message.c.skip_reason)
    return {row.id: tuple(row)[1:] for row in connection.execute(query.where(message.c.run_id == run_id))}


def batch_of(connection: Connection, run_id: int, ids: list[int], state: str = "ready") -> None:
    """The messages wait in a batch."""
    values = {"run_id": run_id, "message_ids": ids, "not_before": NOW, "state": state}
    connection.execute(insert(schema.batch).values(**values))


@pytest.mark.parametrize(
    ("merged_state", "own_state", "named", "merged_after", "own_after"),
    [
        ("planned", "planned", "own", "skipped", "planned"),
        ("accepted", "planned", "merged", "accepted", "skipped"),
        ("planned", "accepted", "own", "skipped", "accepted"),
        ("accepted", "accepted", "own", "accepted", "accepted"),
        ("accepted", "skipped", "merged", "accepted", "skipped"),
        ("handed_over", "planned", "merged", "handed_over", "skipped"),
    ],
)
def test_run_writes_to_the_merged_person_once(
    database: Database, merged_state: str, own_state: str, named: str, merged_after: str, own_after: str
) -> None:
    """
    In a run that has both customers the message that went out keeps the name, a second one that waits is skipped, and
    no row is lost.
    """
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        run_id = factories.make_run(connection)
        ids = [
            factories.make_message(
                connection, run_id, customer_id, state=state,
                skip_reason="not_consented" if state == "skipped" else None,
            )
            for customer_id, state in ((merged_id, merged_state), (into_id, own_state))
        ]  # fmt: skip
        batch_of(connection, run_id, ids)
        merged_into(connection, merged_id, into_id)
        left = messages_of(connection, run_id)

        assert (merged_after, own_after) == tuple(left[message_id][1] for message_id in ids)
        assert [into_id if who == named else None for who in ("merged", "own")] == [left[each][0] for each in ids]


@pytest.mark.parametrize(
    ("state", "attempts", "batch", "moves"),
    [("planned", 0, "ready", True), ("planned", 0, "claimed", False), ("planned", 1, "ready", False),
     ("deferred", 1, "ready", False), ("accepted", 1, "done", False)],
)  # fmt: skip
def test_waiting_message_goes_to_the_address_that_is_left(
    database: Database, state: str, attempts: int, batch: str, moves: bool
) -> None:
    """
    What nobody tried yet is addressed anew; what a worker has, or a server has seen, keeps its address.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, email="old@customers.example")
        into_id = factories.make_customer(connection, email="new@customers.example")
        run_id = factories.make_run(connection)
        message_id = factories.make_message(connection, run_id, merged_id, state=state, attempt_count=attempts)
        batch_of(connection, run_id, [message_id], batch)
        merged_into(connection, merged_id, into_id)
        key = select(schema.message.c.address_key).where(schema.message.c.id == message_id)

        expected = "new@customers.example" if moves else "old@customers.example"
        assert factories.key_of(expected) == connection.execute(key).scalar_one()
        assert {message_id: (into_id, state, None)} == messages_of(connection, run_id)


def test_waiting_message_is_skipped_where_the_address_has_one(database: Database) -> None:
    """
    Somebody else at the address that is left has the run's message: the waiting one would be the second there.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, email="old@customers.example")
        into_id = factories.make_customer(connection, email="new@customers.example")
        housemate = factories.make_customer(connection, email="new@customers.example")
        run_id = factories.make_run(connection)
        message_id = factories.make_message(connection, run_id, merged_id, state="planned")
        theirs = factories.make_message(connection, run_id, housemate, state="planned")
        batch_of(connection, run_id, [message_id, theirs])
        merged_into(connection, merged_id, into_id)

        assert {
            message_id: (into_id, "skipped", "duplicate_person"), theirs: (housemate, "planned", None),
        } == messages_of(connection, run_id)  # fmt: skip


# --- the customer who is left --------------------------------------------------------------------------------------


def test_merge_fills_in_and_keeps_what_was_known(database: Database) -> None:
    """
    Empty fields are filled, others stay; attributes are put together; the older date of birth of the row counts.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(
            connection, first_name="Ann", owner="anna", attributes={"a": 1, "b": 1}, created_at=factories.LONG_AGO
        )
        into_id = factories.make_customer(connection, email=None, owner="ben", attributes={"b": 2})
        merged_into(connection, merged_id, into_id)
        row = connection.execute(select(schema.customer)).mappings().one()

        assert (into_id, "Ann", "ben") == (row["id"], row["first_name"], row["owner"])
        assert ({"a": 1, "b": 2}, factories.LONG_AGO) == (row["attributes"], row["created_at"])
        assert row["email"] is not None
        assert row["address_key"] == factories.key_of(row["email"])
        assert 0 == of(connection, schema.customer_address, into_id)


def test_merge_unites_two_persons(database: Database) -> None:
    """
    Further addresses of the merged customer's person belong to the person of the one who is left.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, person="p1")
        third = factories.make_customer(connection, person="p1")
        into_id = factories.make_customer(connection, person="p2")
        merged_into(connection, merged_id, into_id)
        person = select(schema.customer.c.person).where(schema.customer.c.id == third)

        assert "p2" == connection.execute(person).scalar_one()


def test_merge_adds_up_what_both_bought(database: Database) -> None:
    """
    The metrics are those of all orders of both.
    """
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        for customer_id in (merged_id, merged_id, into_id):
            factories.make_purchase(connection, customer_id)
        merged_into(connection, merged_id, into_id)
        metrics.refresh(connection, Tiers(), now=NOW)
        worth = schema.customer_metrics
        row = connection.execute(select(worth.c.order_count, worth.c.monetary, worth.c.customer_id)).one()

        assert (3, 300, into_id) == tuple(row)


def test_names_of_a_chain_of_merges_lead_to_the_last(database: Database) -> None:
    """
    Who was merged into somebody merged since is found by their external id and address, and the audit tells of both.
    """
    with database.begin() as connection:
        ids = [
            factories.make_customer(connection, external_id=name, email=f"{name}@customers.example")
            for name in ("one", "two", "three")
        ]
        merged_into(connection, ids[0], ids[1])
        merged_into(connection, ids[1], ids[2])
        found = [
            find_customer(connection, key, factories.SECRET)
            for key in ("one", "two", "three", "one@customers.example", "TWO@customers.example")
        ]
        actions = connection.execute(select(schema.audit.c.action, schema.audit.c.subject).order_by(schema.audit.c.id))

        assert [ids[2]] * 5 == [row["id"] for row in found if row is not None]
        assert [("customer.merge", f"customer:{ids[1]}"), ("customer.merge", f"customer:{ids[2]}")] == [
            tuple(row) for row in actions
        ]


def test_merge_refuses_one_customer_and_no_reason(database: Database) -> None:
    """
    A customer is not merged into itself, nor without a reason.
    """
    with database.begin() as connection:
        customer_id, other = factories.make_customer(connection), factories.make_customer(connection)

        with pytest.raises(UsageError, match="same customer"):
            merged_into(connection, customer_id, customer_id)
        with pytest.raises(UsageError, match="reason"):
            merged_into(connection, customer_id, other, because=" ")


def test_opt_out_during_a_merge_holds(database: Database) -> None:
    """
    Who unsubscribes while they are being merged waits, and is then unsubscribed under the name that is left.
    """
    with database.begin() as connection:
        merged_id = factories.make_customer(connection, consents=("promotions",))
        into_id = factories.make_customer(connection, consents=("promotions",))
        message_id = factories.make_message(connection, factories.make_run(connection), merged_id)

    def opt_out() -> None:
        with database.begin() as connection:
            unsubscribe(connection, message_id=message_id, source="page", now=NOW + timedelta(minutes=1))

    thread = threading.Thread(target=opt_out)
    with database.begin() as connection:
        merged_into(connection, merged_id, into_id)
        thread.start()
        with database.begin() as looking:
            wait_for(lambda: looking.execute(text(_WAITS)).scalar_one(), "the opt-out to wait")
    thread.join(timeout=30)

    with database.begin() as connection:
        assert {"promotions": ("withdrawn", "consent", None)} == latest(connection, into_id)


_WAITS = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


# --- what both began -----------------------------------------------------------------------------------------------


def test_passages_of_both_through_a_sequence_become_one(database: Database) -> None:
    """
    The merged customer's passage ends, and stays on record with a number of its own; one that only they began goes on.
    """
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        twin = factories.make_enrolment(connection, merged_id)
        version = connection.execute(select(schema.enrolment.c.version_id)).scalar_one()
        kept = factories.make_enrolment(connection, into_id, version_id=version)
        alone = factories.make_enrolment(connection, merged_id, "other")
        again = factories.make_enrolment(connection, merged_id, version_id=version, entry_key="order 2")
        merged_into(connection, merged_id, into_id)
        rows = connection.execute(select(schema.enrolment)).all()

    found = {row.id: (row.customer_id, row.state, row.number, row.ended_because) for row in rows}
    assert {
        twin: (into_id, "exited", 2, "merged"), kept: (into_id, "active", 1, None), alone: (into_id, "active", 1, None),
        again: (into_id, "active", 1, None),
    } == found  # fmt: skip


@pytest.mark.parametrize(("of_merged", "of_into", "left"), [
    ("confirmed", "waiting", "confirmed"), ("waiting", "confirmed", "confirmed"), ("offered", "waiting", "offered"),
    ("confirmed", "cancelled", "confirmed"),
])  # fmt: skip
def test_two_seats_of_one_person_become_one(database: Database, of_merged: str, of_into: str, left: str) -> None:
    """
    The better registration stays, the other is cancelled and frees its seat, which is on record.
    """
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        event = factories.make_event(connection)
        for customer_id, state in ((merged_id, of_merged), (into_id, of_into)):
            factories.make_registration(connection, event, customer_id, state=state)
        other = factories.make_customer(connection)
        guest = factories.make_registration(connection, event, other, registrant_id=merged_id)
        merged_into(connection, merged_id, into_id)
        mine = connection.execute(select(schema.registration).where(schema.registration.c.id != guest)).all()
        changes = connection.execute(select(schema.registration_change)).all()
        registrant = connection.execute(
            select(schema.registration.c.registrant_id).where(schema.registration.c.id == guest)
        ).scalar_one()

    assert [left] == [row.state for row in mine if row.state != "cancelled"]
    assert {into_id} == {row.customer_id for row in mine}
    assert into_id == registrant
    assert (of_into != "cancelled") == ([("cancelled", "merged")] == [(row.state_to, row.because) for row in changes])


@pytest.mark.parametrize("is_merged_later", [True, False])
def test_answers_of_both_to_a_survey_become_the_later_one(database: Database, is_merged_later: bool) -> None:
    """
    One answer stays, with its activity, and can be corrected as before; segments do not count the person twice.
    """
    later, earlier = NOW, NOW - timedelta(days=1)
    survey = Survey(
        "nps", SurveyFile.model_validate({"title": "t", "questions": {"q": {"ask": "?", "kind": "rating"}}})
    )
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        record(connection, survey, merged_id, {"q": 3}, "x", None, later if is_merged_later else earlier)
        record(connection, survey, into_id, {"q": 9}, "x", None, earlier if is_merged_later else later)
        merged_into(connection, merged_id, into_id)
        kept = connection.execute(select(schema.survey_answer.c.rating)).scalars().all()
        told = connection.execute(select(schema.activity.c.value)).scalars().all()
        record(connection, survey, into_id, {"q": 10}, "x", None, NOW)
        corrected = connection.execute(select(schema.activity.c.value)).scalars().all()

    assert [3 if is_merged_later else 9] == kept == told
    assert [10] == corrected
