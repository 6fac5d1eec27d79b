"""Opt-outs and liftings as the tables hold them."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.errors import UsageError
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.record import lift, suppress, unsubscribe
from tests import factories

KEY = factories.key_of("ann@customers.example")


def reason_for(connection: Connection, customer_id: int, now: datetime, topic: str = "promotions") -> str | None:
    """What the gate says of the customer."""
    customer = schema.customer
    gate = skip_reason(
        customer.c.id, customer.c.address_key, topic=topic, campaign="spring-paper", now=now, policy=Policy()
    )
    return connection.execute(select(gate).where(customer.c.id == customer_id)).scalar_one()


def consents_of(connection: Connection, customer_id: int) -> list[tuple[str, str]]:
    """The customer's consent rows, oldest first, as (topic, state)."""
    table = schema.consent
    rows = connection.execute(
        select(table.c.topic, table.c.state).where(table.c.customer_id == customer_id).order_by(table.c.id)
    )
    return [tuple(row) for row in rows]


def test_suppress_tells_a_new_entry_from_one_that_was_there(database: Database) -> None:
    """
    The first call writes an entry, the second finds it.
    """
    with database.begin() as connection:
        answers = [suppress(connection, KEY, scope="global", reason="manual", source="test") for _ in range(2)]

    assert [True, False] == answers


def test_suppress_for_longer_replaces_the_shorter_entry(database: Database, clock: SteppedClock) -> None:
    """
    A block for good that meets a block for a day holds for good, and the shorter row stays readable.
    """
    table, day = schema.suppression, clock.now() + timedelta(days=1)
    with database.begin() as connection:
        entry = {"scope": "global", "reason": "manual", "source": "test", "now": clock.now()}
        suppress(connection, KEY, expires_at=day, **entry)
        answer = suppress(connection, KEY, **entry)
        shorter = suppress(connection, KEY, expires_at=day, **entry)
        rows = connection.execute(select(table.c.expires_at, table.c.lifted_at).order_by(table.c.id)).all()

    assert (True, False) == (answer, shorter)
    assert [(day, clock.now()), (None, None)] == [tuple(row) for row in rows]


def test_suppress_again_after_expiry_is_a_new_entry(database: Database, clock: SteppedClock) -> None:
    """
    An entry that has run out does not stand in the way of the next one.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection, email="ann@customers.example", consents=("promotions",))
        entry = {"scope": "global", "reason": "manual", "source": "test"}
        suppress(connection, KEY, expires_at=clock.now() + timedelta(days=1), now=clock.now(), **entry)
        clock.step(timedelta(days=2))
        between = reason_for(connection, customer, clock.now())
        answer = suppress(connection, KEY, expires_at=clock.now() + timedelta(days=1), now=clock.now(), **entry)
        after = reason_for(connection, customer, clock.now())

    assert (None, True, "suppressed:manual") == (between, answer, after)


def test_lift_needs_a_reason(database: Database) -> None:
    """
    An entry is not lifted without words.
    """
    with database.begin() as connection, pytest.raises(UsageError, match="only with a reason"):
        lift(connection, KEY, because=" ")


def test_lift_keeps_the_entry_readable(database: Database, clock: SteppedClock) -> None:
    """
    A lifted entry no longer forbids, and says when and why.
    """
    table = schema.suppression
    with database.begin() as connection:
        suppress(connection, KEY, scope="global", reason="manual", source="test", now=clock.now())
        suppress(connection, KEY, scope="global", reason="complaint", source="test", now=clock.now())
        lifted = lift(connection, KEY, reason="manual", because="asked on the phone", now=clock.now())
        rows = connection.execute(select(table.c.reason, table.c.lifted_because).order_by(table.c.id)).all()

    assert 1 == lifted
    assert [("manual", "asked on the phone"), ("complaint", None)] == [tuple(row) for row in rows]


def test_unsubscribe_suppresses_the_topic_and_withdraws_consent(database: Database, clock: SteppedClock) -> None:
    """
    After an opt-out the topic is closed twice over, and other topics stay open.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection, consents=("promotions", "news"))
        message = factories.make_message(connection, factories.make_run(connection), customer)
        done = unsubscribe(connection, message_id=message, source="one_click", now=clock.now())
        reasons = [reason_for(connection, customer, clock.now(), topic) for topic in ("promotions", "news")]
        consents = consents_of(connection, customer)

    assert done is not None
    assert ("promotions", False, True) == (done.topic, done.everything, done.is_new)
    assert ["suppressed:unsubscribed", None] == reasons
    assert [("promotions", "granted"), ("news", "granted"), ("promotions", "withdrawn")] == consents


def test_unsubscribe_from_everything_closes_every_topic(database: Database, clock: SteppedClock) -> None:
    """
    Stop all means all: no topic is left, now or later.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection, consents=("promotions", "news"))
        message = factories.make_message(connection, factories.make_run(connection), customer)
        unsubscribe(connection, message_id=message, source="page", everything=True, now=clock.now())
        factories.make_consent(connection, customer, topic="events", captured_at=clock.now())
        reasons = {reason_for(connection, customer, clock.now(), topic) for topic in ("promotions", "news", "events")}

    assert {"suppressed:unsubscribed"} == reasons


def test_unsubscribe_twice_writes_once(database: Database, clock: SteppedClock) -> None:
    """
    A repeated opt-out changes nothing and says so.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection, consents=("promotions",))
        message = factories.make_message(connection, factories.make_run(connection), customer)
        unsubscribe(connection, message_id=message, source="one_click", now=clock.now())
        clock.step(timedelta(minutes=1))
        again = unsubscribe(connection, message_id=message, source="page", now=clock.now())
        entries = connection.execute(select(func.count()).select_from(schema.suppression)).scalar_one()
        consents = consents_of(connection, customer)

    assert again is not None
    assert (False, 1, 2) == (again.is_new, entries, len(consents))


def test_unsubscribe_binds_everyone_at_the_address(database: Database, clock: SteppedClock) -> None:
    """
    Two customers share a mailbox: the word of its holder counts for both.
    """
    with database.begin() as connection:
        first = factories.make_customer(connection, email="both@customers.example", consents=("promotions",))
        second = factories.make_customer(connection, email="BOTH@customers.example", consents=("promotions",))
        message = factories.make_message(connection, factories.make_run(connection), first)
        unsubscribe(connection, message_id=message, source="one_click", now=clock.now())
        states = [consents_of(connection, customer)[-1] for customer in (first, second)]

    assert [("promotions", "withdrawn")] * 2 == states


@pytest.mark.parametrize(
    ("everything", "expected"), [(False, ["suppressed:unsubscribed", None]), (True, ["suppressed:unsubscribed"] * 2)]
)
def test_unsubscribe_follows_a_customer_to_a_new_address(
    database: Database, clock: SteppedClock, everything: bool, expected: list[str | None]
) -> None:
    """
    An opt-out from an old mail holds at the address the customer has by now, also for a later consent.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection, consents=("promotions",))
        message = factories.make_message(connection, factories.make_run(connection), customer)
        new = {"email": "new@customers.example", "address_key": factories.key_of("new@customers.example")}
        connection.execute(schema.customer.update().values(**new))
        unsubscribe(connection, message_id=message, source="page", everything=everything, now=clock.now())
        clock.step(timedelta(minutes=1))
        for topic in ("promotions", "news"):
            factories.make_consent(connection, customer, topic=topic, captured_at=clock.now())
        again = unsubscribe(connection, message_id=message, source="page", everything=everything, now=clock.now())
        reasons = [reason_for(connection, customer, clock.now(), topic) for topic in ("promotions", "news")]

    assert again is not None
    assert not again.is_new
    assert expected == reasons


def test_unsubscribe_of_somebody_erased_suppresses_the_address(database: Database, clock: SteppedClock) -> None:
    """
    The link of a mail works when its customer is no more.
    """
    with database.begin() as connection:
        customer = factories.make_customer(connection)
        message = factories.make_message(connection, factories.make_run(connection), customer)
        connection.execute(schema.customer.delete())
        done = unsubscribe(connection, message_id=message, source="one_click", now=clock.now())

    assert done is not None
    assert done.is_new


def test_unsubscribe_of_an_unknown_message_is_none(database: Database, clock: SteppedClock) -> None:
    """
    A message that is not there changes nothing.
    """
    with database.begin() as connection:
        done = unsubscribe(connection, message_id=4711, source="one_click", now=clock.now())

    assert done is None
