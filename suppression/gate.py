"""The one gate: may this customer be written to, at this address, about this topic, in this campaign, now?

It is a single SQL expression, built here and nowhere else. The freeze of an audience, the claim of a batch
and `clarion suppress check` all ask it, so they cannot disagree.

Measured with 1,000,000 customers, as many consents and 50,000 suppressions on 2 cores: 3.4 s for all
customers, 7 ms for a batch of 500. Asking for suppressions by EXISTS takes 2.0 s for all, but 20 ms for a
batch (PostgreSQL hashes every entry first), and there are many more batches than plans.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Text, and_, case, exists, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from core import schema

NO_ADDRESS: Final = "no_address"
NOT_CONSENTED: Final = "not_consented"
SUPPRESSED: Final = "suppressed:"

#: Reasons of suppression entries, the strongest first; one that is not named here is weaker than all of them.
REASONS: Final = ("legal", "complaint", "hard_bounce", "unsubscribed", "manual")

#: The states of a consent row that allow writing.
GIVEN: Final = ("granted", "confirmed")


def skip_reason(
    customer_id: Any, address_key: Any, *, topic: str, campaign: str, now: datetime, channel: str = "email"
) -> ColumnElement[str | None]:
    """A scalar SQL expression over the two columns: why the customer gets no message, NULL when nothing
    forbids it.

    `no_address`; else `suppressed:<reason>` with the strongest reason of an entry in force for the address,
    whichever customer it came from; else `not_consented`, unless `consents`.
    """
    unless_consents = case(
        (consents(customer_id, topic=topic, now=now, channel=channel), None),
        else_=literal(NOT_CONSENTED, Text),
    )
    strongest = _strongest_reason(address_key, topic=topic, campaign=campaign, now=now, channel=channel)
    return case(
        (address_key.is_(None), literal(NO_ADDRESS, Text)),
        else_=func.coalesce(literal(SUPPRESSED, Text) + strongest, unless_consents),
    )


def in_force(entry: FromClause, now: datetime) -> ColumnElement[bool]:
    """The row of `entry` (suppression or an alias of it) is neither lifted nor expired at `now`."""
    return and_(entry.c.lifted_at.is_(None), or_(entry.c.expires_at.is_(None), entry.c.expires_at > now))


def _strongest_reason(
    address_key: Any, *, topic: str, campaign: str, now: datetime, channel: str
) -> ColumnElement[str]:
    entry = schema.suppression.alias("gate_entry")
    within_channel = or_(
        entry.c.scope == "channel",
        and_(entry.c.scope == "topic", entry.c.scope_name == topic),
        and_(entry.c.scope == "campaign", entry.c.scope_name == campaign),
    )
    forbids = or_(entry.c.scope == "global", and_(entry.c.channel == channel, within_channel))
    ranks = literal(list(REASONS), ARRAY(Text))
    return (
        select(entry.c.reason)
        .where(entry.c.address_key == address_key, in_force(entry, now), forbids)
        .order_by(func.array_position(ranks, entry.c.reason).asc().nulls_last(), entry.c.reason)
        .limit(1)
        .correlate_except(entry)
        .scalar_subquery()
    )


def consents(customer_id: Any, *, topic: str, now: datetime, channel: str = "email") -> ColumnElement[bool]:
    """The customer's latest word on the topic, by `captured_at` and then by arrival, is a yes that has not
    expired at `now`.

    Two EXISTS rather than ORDER BY … LIMIT 1: PostgreSQL then chooses between one hash join over all consents
    (a plan) and two index probes each (a batch).
    """
    given, later = schema.consent.alias("gate_given"), schema.consent.alias("gate_later")
    superseded = exists().where(
        later.c.customer_id == given.c.customer_id,
        later.c.channel == channel,
        later.c.topic == topic,
        tuple_(later.c.captured_at, later.c.id) > tuple_(given.c.captured_at, given.c.id),
    )
    says_yes = exists().where(
        given.c.customer_id == customer_id,
        given.c.channel == channel,
        given.c.topic == topic,
        given.c.state.in_(GIVEN),
        or_(given.c.expires_at.is_(None), given.c.expires_at > now),
        ~superseded.correlate_except(later),
    )
    return says_yes.correlate_except(given)
