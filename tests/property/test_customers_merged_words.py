"""What two customers said, before and after they are merged, asked of the real gate: never more is allowed than both
allowed (S-10.10)."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from core import schema
from core.database import Database
from customers.merging.merge import merge
from suppression.gate import skip_reason
from suppression.policy import Policy
from tests import factories

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAYS = st.integers(min_value=-800, max_value=0)
EVIDENCE = {"similar_products": True, "opt_out_offered": True, "sale": "O1", "subscriber": "individual"}
#: state, basis, days since it was said, days until it ends (None: never), what proves it
WORD = st.tuples(
    st.sampled_from(["granted", "confirmed", "withdrawn", "requested"]),
    st.sampled_from(["consent", "contract", "soft_opt_in", "legitimate_interest", "implied"]),
    DAYS,
    st.none() | st.integers(min_value=-30, max_value=60),
    st.sampled_from([{}, EVIDENCE, {"relation": "purchase"}]),
)
ENTRY = st.tuples(
    st.sampled_from(["unsubscribed", "manual", "complaint", "paused", "hard_bounce"]),
    st.none() | st.integers(min_value=1, max_value=60),
)
PERSON = st.tuples(st.lists(WORD, max_size=4), st.lists(ENTRY, max_size=2, unique_by=lambda entry: entry[0]))
POLICIES = (Policy(), Policy(confirmed_topics=frozenset({"promotions"})))


INSTANTS = [NOW + timedelta(days=days, seconds=1) for days in (0, 15, 59, 61, 200, 1000)]
ASKED = list(itertools.product(INSTANTS, POLICIES))


def make_person(connection: Connection, said: Any, country: str) -> int:
    """A customer who said these words, with these entries for their address."""
    words, entries = said
    customer_id = factories.make_customer(connection, country=country)
    email = connection.execute(select(schema.customer.c.email).where(schema.customer.c.id == customer_id)).scalar_one()
    for number, (state, basis, day, ends, proof) in enumerate(words):
        factories.make_consent(
            connection, customer_id, state=state, basis=basis, source=f"s{number}", proof=proof,
            captured_at=NOW + timedelta(days=day), expires_at=None if ends is None else NOW + timedelta(days=ends),
        )  # fmt: skip
    for reason, days in entries:
        expires_at = None if days is None else NOW + timedelta(days=days)
        factories.make_suppression(connection, email, reason=reason, expires_at=expires_at)
    return customer_id


def allowed(connection: Connection, customer_id: int) -> list[bool]:
    """Whether the gate lets a promotion to the customer pass, at each instant and by each policy of ASKED."""
    customer = schema.customer
    gates = [
        skip_reason(customer.c.id, customer.c.address_key, topic="promotions", campaign="c", now=at, policy=policy)
        for at, policy in ASKED
    ]
    numbered = [gate.label(f"g{number}") for number, gate in enumerate(gates)]
    row = connection.execute(select(*numbered).where(customer.c.id == customer_id)).one()
    return [reason is None for reason in row]


def said_yes_or_nothing(said: Any, answer: bool) -> bool:
    """The person's own yes, or their silence; a mailbox that is gone says nothing of the person."""
    spoke = any(state != "requested" for state, *_ in said[0])
    return answer or not spoke or any(reason == "hard_bounce" for reason, _ in said[1])


def reference(people: list[Any], at: datetime, policy: Policy) -> bool:
    """The rule in plain words, where every ground counts: everybody who spoke allows it by their latest word, somebody
    spoke, and nothing forbids it that is about a person, or about the mailbox that is left (the second one's)."""
    latest = [
        max(enumerate(words), key=lambda item: (item[1][2], item[0]))[1]
        for words in ([word for word in said[0] if word[0] != "requested"] for said in people)
        if words
    ]
    enough = {"confirmed"} if policy.confirmed_topics else {"granted", "confirmed"}
    agrees = all(word[0] in enough and (word[3] is None or NOW + timedelta(days=word[3]) > at) for word in latest)
    entries = [entry for entry in people[0][1] if entry[0] != "hard_bounce"] + list(people[1][1])
    forbidden = any(days is None or NOW + timedelta(days=days) > at for _reason, days in entries)
    return bool(latest) and agrees and not forbidden


@settings(max_examples=25)
@given(merged=PERSON, own=PERSON, country=st.sampled_from(["US", "CA", "GB", "FR"]))
@example(
    merged=([("withdrawn", "consent", -300, None, {})], []), own=([("granted", "consent", -2, None, {})], []),
    country="US",
)  # fmt: skip
@example(
    merged=([("granted", "implied", -170, None, {})], []), own=([("granted", "implied", -2, None, {})], []),
    country="CA",
)  # fmt: skip
@example(merged=([], [("paused", 5)]), own=([("granted", "consent", -2, None, {})], [("paused", 40)]), country="US")
def test_merged_person_is_written_to_only_as_both_allow(
    module_database: Database, merged: Any, own: Any, country: str
) -> None:
    """
    At no instant after the merge the gate says yes of the one who is left where it said no of one who had spoken; and
    where the country takes every ground it says exactly what the plain rule says of the two.
    """
    with module_database.begin() as connection:
        undone = connection.begin_nested()
        people = [make_person(connection, said, country) for said in (merged, own)]
        before = [allowed(connection, customer_id) for customer_id in people]
        merge(connection, *people, because="same", actor="t", now=NOW)
        after = allowed(connection, people[1])
        undone.rollback()

    for (at, policy), first, second, now_allowed in zip(ASKED, *before, after, strict=True):
        if now_allowed:
            assert said_yes_or_nothing(merged, first)
            assert said_yes_or_nothing(own, second)
        if country == "US":
            assert reference([merged, own], at, policy) == now_allowed
