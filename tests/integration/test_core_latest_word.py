"""Of two words of one instant the no counts: whoever asks for a customer's latest word hears the same one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import Connection, select, text

from core.clock import Clock
from core.database import Database
from core.schema import consent, customer, hit, suppression
from customers.merging.words import words_of
from customers.profile import customer_profile
from customers.rights.classes import CLASSES
from customers.rights.refusals import keep_refusals
from segments.behaviour_sql import Moments
from segments.facts import facts_of
from segments.history_sql import subscribed
from segments.in_memory import OneCustomer
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.register import consents_of
from suppression.watching import chosen_by_behaviour, tracked
from tests.factories import LONG_AGO, key_of, make_consent, make_customer, make_message, make_run
from tracking.hits import Hit, store

ANN: Final = "ann@firm.example"
SUBJECTS: Final = (("email", "promotions"), ("tracking", ""), ("profiling", ""))


def may_be_written_to(connection: Connection, ann: int, now: Any) -> bool:
    asked = skip_reason(
        customer.c.id, customer.c.address_key, topic="promotions", campaign="c", now=now, policy=Policy()
    )
    return connection.execute(select(asked).where(customer.c.id == ann)).scalar_one() is None


def may_be_tracked(connection: Connection, ann: int, now: Any) -> bool:
    asked = tracked(customer.c.id, customer.c.country, now=now, policy=Policy())
    return connection.execute(select(asked).where(customer.c.id == ann)).scalar_one()


def may_be_chosen(connection: Connection, ann: int, now: Any) -> bool:
    asked = chosen_by_behaviour(customer.c.id, now=now, policy=Policy())
    return connection.execute(select(asked).where(customer.c.id == ann)).scalar_one()


def has_a_hit_kept(connection: Connection, ann: int, now: Any) -> bool:
    store(connection, [Hit(make_message(connection, make_run(connection), ann), "open", now)])
    return connection.execute(select(hit.c.id)).first() is not None


def is_in_a_segment(connection: Connection, ann: int, now: Any) -> bool:
    asked = subscribed("promotions", customer, Moments(now))
    return connection.execute(select(asked).where(customer.c.id == ann)).scalar_one()


def is_in_a_segment_by_hand(connection: Connection, ann: int, now: Any) -> bool:
    return OneCustomer(facts_of(connection, ann), {}, now=now).agreed("promotions")


def holds_on_the_register(connection: Connection, ann: int, now: Any) -> bool:
    return any(row["holds"] for row in consents_of(connection, ann, now, Policy()))


def is_shown_as_a_yes(connection: Connection, ann: int, now: Any) -> bool:
    row = connection.execute(select(customer).where(customer.c.id == ann)).mappings().one()
    return "granted" in {shown["state"] for shown in customer_profile(connection, row, now=now)["consents"]}


def is_a_yes_when_merged(connection: Connection, ann: int, _now: Any) -> bool:
    return "granted" in {word.state for words in words_of(connection, [ann]).values() for word in words}


def is_lost_with_an_erasure(connection: Connection, ann: int, now: Any) -> bool:
    keep_refusals(connection, [ann], [key_of(ANN)], source="erasure", now=now)
    return connection.execute(select(suppression.c.scope_name)).scalars().all() != ["promotions"]


def is_what_retention_leaves(connection: Connection, ann: int, now: Any) -> bool:
    (rule,) = next(each.rules for each in CLASSES if each.name == "consents")
    connection.execute(text(f"DELETE FROM consent WHERE {rule.where}"), {"before": now})
    return "granted" in connection.execute(select(consent.c.state).where(consent.c.customer_id == ann)).scalars().all()


@pytest.mark.parametrize("states", [("withdrawn", "granted"), ("granted", "withdrawn")], ids=" then ".join)
@pytest.mark.parametrize(
    "ask",
    [
        may_be_written_to, may_be_tracked, may_be_chosen, has_a_hit_kept, is_in_a_segment, is_in_a_segment_by_hand,
        holds_on_the_register, is_shown_as_a_yes, is_a_yes_when_merged, is_lost_with_an_erasure,
        is_what_retention_leaves,
    ],
)  # fmt: skip
def test_of_two_words_of_one_instant_the_no_counts(
    module_database: Database, clock: Clock, states: tuple[str, str], ask: Callable[[Connection, int, Any], bool]
) -> None:
    """
    Whichever arrived first, whoever asks hears the no; a yes of a moment later is heard as well.
    """
    with module_database.engine.connect() as connection:
        ann = make_customer(connection, email=ANN)
        for channel, topic in SUBJECTS:
            for state in states:
                make_consent(connection, ann, channel=channel, topic=topic, state=state, captured_at=LONG_AGO)
        savepoint = connection.begin_nested()
        at_once = ask(connection, ann, clock.now())
        savepoint.rollback()
        for channel, topic in SUBJECTS:
            make_consent(connection, ann, channel=channel, topic=topic, captured_at=LONG_AGO + timedelta(seconds=1))

        assert (False, True) == (at_once, ask(connection, ann, clock.now()))
