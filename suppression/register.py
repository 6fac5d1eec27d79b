"""The suppression list as it can be read: entries, consents, and the gate's answer for one person."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import UUID, BigInteger, Connection, Integer, RowMapping, and_, case, func, literal, null, select, text

from core import schema
from core.addresses import masked
from core.consent_settings import profile_of
from core.latest_word import newest_first
from core.units import format_duration
from suppression.gate import PAUSED, SUPPRESSED, TRANSACTIONAL, in_force, skip_reason, without_consent
from suppression.people import Person
from suppression.policy import Policy
from suppression.profiles import CONSENT_EXPIRED, GIVEN, REQUESTED
from suppression.watching import PROFILING, TRACKING


def entries(
    connection: Connection, now: datetime, *, key: Any = None, reason: str | None = None, ended: bool = False
) -> Sequence[Mapping[str, Any]]:
    """The entries in force, newest first; with `ended`, the lifted and expired ones as well.

    `customers` are the external ids at the address now; `address` is masked.
    """
    entry, customer = schema.suppression, schema.customer
    at_address = customer.c.address_key == entry.c.address_key
    known = select(func.array_agg(customer.c.external_id)).where(at_address).correlate(entry).scalar_subquery()
    address = select(func.min(customer.c.email)).where(at_address).correlate(entry).scalar_subquery()
    query = select(entry, known.label("customers"), address.label("address"), in_force(entry, now).label("active"))
    if not ended:
        query = query.where(in_force(entry, now))
    if key is not None:
        query = query.where(entry.c.address_key == key)
    if reason is not None:
        query = query.where(entry.c.reason == reason)
    rows = connection.execute(query.order_by(entry.c.id.desc())).mappings()
    return [_shown(row) for row in rows]


def _shown(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    address = row["address"]
    customers = sorted(row["customers"] or [])
    return {**row, "customers": customers, "address": masked(address) if address else None}


def answers(
    connection: Connection,
    people: Iterable[Person],
    topics: Iterable[str],
    *,
    campaign: str,
    now: datetime,
    policy: Policy,
) -> Sequence[Mapping[str, Any]]:
    """The gate's answer for each person and topic: `customer topic may_write reason`, and for what is owed to that
    person, whatever the topic: `transactional` (may be written) and `transactional_reason`."""
    listed = list(topics)
    found: list[Mapping[str, Any]] = []
    for person in people:
        owed = _answer(connection, person, "", campaign, now, policy, TRANSACTIONAL)
        for topic in listed:
            reason = _answer(connection, person, topic, campaign, now, policy)
            found.append(
                {
                    "customer": person.shown,
                    "topic": topic,
                    "may_write": reason is None,
                    "reason": reason,
                    "transactional": owed is None,
                    "transactional_reason": owed,
                }
            )
    return found


def _answer(
    connection: Connection,
    person: Person,
    topic: str,
    campaign: str,
    now: datetime,
    policy: Policy,
    message_class: str = "bulk",
) -> str | None:
    # An address nobody is known at has no consents: the gate is asked with an id that no customer has.
    customer_id = literal(-1 if person.customer_id is None else person.customer_id, Integer)
    key = null() if person.key is None else literal(person.key, UUID)
    gate = skip_reason(
        customer_id, key, topic=topic, campaign=campaign, now=now, policy=policy, message_class=message_class
    )
    reason: str | None = connection.execute(select(gate)).scalar_one()
    return reason


def suppressed_topics(
    connection: Connection, customer_id: int, topics: Iterable[str], now: datetime, policy: Policy
) -> list[str]:
    """Those of the topics that a suppression of the customer's address keeps away, whatever they agree to."""
    key = select(schema.customer.c.address_key).where(schema.customer.c.id == customer_id)
    person = Person("", customer_id, connection.execute(key).scalar_one_or_none())
    reasons = {topic: _answer(connection, person, topic, "", now, policy) for topic in topics}
    return [topic for topic, reason in reasons.items() if reason is not None and reason.startswith(SUPPRESSED)]


def consents_of(connection: Connection, customer_id: int, now: datetime, policy: Policy) -> Sequence[Mapping[str, Any]]:
    """Every consent row of the customer, newest first; `counts` marks the latest of its channel and topic, requests
    aside, and `holds` those that say yes at `now`; where one that counts does not, `because` says why.

    `expires_at` is when the yes ends by itself or by law, a purchase since then considered.
    """
    consent = schema.consent
    order = text(newest_first())
    place = func.row_number().over(
        partition_by=(consent.c.channel, consent.c.topic, consent.c.state == REQUESTED), order_by=order
    )
    counts = and_(place == 1, consent.c.state != REQUESTED)
    rows = connection.execute(
        select(consent, counts.label("counts")).where(consent.c.customer_id == customer_id).order_by(order)
    ).mappings()
    return [_judged(connection, row, now, policy) for row in rows.all()]


def wishes_of(connection: Connection, person: Person, now: datetime) -> Mapping[str, Any] | None:
    """What the customer chose beside yes and no: `at_most` so many messages `within` a time, and `paused_until`; None
    when nothing."""
    wish, entry = schema.preference, schema.suppression
    asked = select(wish.c.most_messages, wish.c.most_within, wish.c.source, wish.c.updated_at)
    said = connection.execute(asked.where(wish.c.customer_id == person.customer_id)).one_or_none()
    ends = select(func.max(entry.c.expires_at)).where(entry.c.address_key == person.key, in_force(entry, now))
    paused_until = connection.execute(ends.where(entry.c.reason == PAUSED)).scalar()
    if paused_until is None and (said is None or said.most_messages is None):
        return None
    within = said.most_within if said is not None else None
    return {
        "at_most": said.most_messages if said is not None else None,
        "within": format_duration(within) if within is not None else None,
        "source": said.source if said is not None else None,
        "updated_at": said.updated_at if said is not None else None,
        "paused_until": paused_until,
    }


def _judged(connection: Connection, row: RowMapping, now: datetime, policy: Policy) -> Mapping[str, Any]:
    if not row["counts"]:
        return {**row, "holds": False, "because": None}
    if row["channel"] in (TRACKING, PROFILING):
        is_over = row["expires_at"] is not None and row["expires_at"] <= now
        return {**row, "holds": row["state"] in GIVEN and not is_over, "because": CONSENT_EXPIRED if is_over else None}
    word = schema.consent.alias("c")
    person = literal(row["customer_id"], BigInteger)
    wrong = without_consent(person, topic=row["topic"], now=now, policy=policy, channel=row["channel"])
    ends = case(
        (word.c.basis.in_(("implied", "contract")), func.implied_until(word.table_valued(), literal(now))),
        else_=word.c.expires_at,
    )
    country = select(schema.customer.c.country).where(schema.customer.c.id == word.c.customer_id).scalar_subquery()
    asked = connection.execute(select(wrong, ends, word.c.expires_at, country).where(word.c.id == row["id"])).one()
    is_ending = profile_of(asked[3], policy.profiles).ends_implied
    is_no = row["state"] == "withdrawn"
    return {
        **row, "holds": asked[0] is None, "because": None if is_no else asked[0],
        "expires_at": asked[1] if is_ending else asked[2],
    }  # fmt: skip
