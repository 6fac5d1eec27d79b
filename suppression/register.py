"""The suppression list as it can be read: entries, consents, and the gate's answer for one person."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import UUID, Connection, Integer, func, literal, null, select

from core import schema
from core.addresses import masked
from suppression.gate import TRANSACTIONAL, in_force, skip_reason
from suppression.people import Person
from suppression.policy import Policy
from suppression.profiles import GIVEN


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


def consents_of(connection: Connection, customer_id: int, now: datetime) -> Sequence[Mapping[str, Any]]:
    """Every consent row of the customer, newest first; `counts` marks the latest of its channel and topic, and
    `holds` those that allow writing at `now`."""
    consent = schema.consent
    newest_first = (consent.c.captured_at.desc(), consent.c.id.desc())
    place = func.row_number().over(partition_by=(consent.c.channel, consent.c.topic), order_by=newest_first)
    rows = connection.execute(
        select(consent, (place == 1).label("counts"))
        .where(consent.c.customer_id == customer_id)
        .order_by(*newest_first)
    ).mappings()
    return [{**row, "holds": row["counts"] and _holds(row, now)} for row in rows]


def _holds(row: Mapping[Any, Any], now: datetime) -> bool:
    return row["state"] in GIVEN and (row["expires_at"] is None or row["expires_at"] > now)
