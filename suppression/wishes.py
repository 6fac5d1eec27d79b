"""What people choose for themselves, beside yes and no: how often, a break, and coming back.

Writes the tables preference and suppression.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from core.schema import customer, message, preference, suppression
from suppression.gate import PAUSED, UNSUBSCRIBED, in_force
from suppression.record import suppress

#: The ways to reach people.
CHANNELS: Final = ("email", "sms", "letter", "phone")
#: Where people opt out by themselves, beside forms: from what others entered for them they cannot come back alone.
_THEMSELVES: Final = ("one_click", "page", "preferences", "form", "mailto", "provider")


def wish_for_at_most(
    connection: Connection, customer_id: int, most: int | None, within: timedelta | None, *, source: str, now: datetime
) -> None:
    """The customer gets at most so many bulk messages within this time; both None: as many as there are.

    Repeat: safe.
    """
    values = {"most_messages": most, "most_within": within, "updated_at": now, "source": source}
    connection.execute(
        insert(preference)
        .values(customer_id=customer_id, **values)
        .on_conflict_do_update(
            index_elements=["customer_id"], set_=values,
            where=preference.c.most_messages.is_distinct_from(most) | preference.c.most_within.is_distinct_from(within),
        )
    )  # fmt: skip


def pause(connection: Connection, key: UUID, until: datetime | None, *, source: str, now: datetime) -> None:
    """No bulk mail goes to the address before `until`; None: no break of their own holds it back. Repeat: safe.

    A pause that came from elsewhere stays, shorter or longer: the entry has the name of its source, and stands beside
    it.
    """
    mine = (suppression.c.scope == "global") & (suppression.c.reason == PAUSED) & (suppression.c.source == source)
    _lift(connection, mine & (suppression.c.address_key == key), "another wish", now)
    if until is not None:
        suppress(
            connection, key, scope="global", scope_name=source, reason=PAUSED, source=source, expires_at=until, now=now
        )


def come_back(
    connection: Connection, key: UUID, customer_id: int, topics: Iterable[str], *, channel: str, others: Iterable[str],
    source: str, because: str, now: datetime,
) -> None:  # fmt: skip
    """No opt-out of the customer's own keeps mail about `topics` from the address any more.

    One that was wider goes on: for each of `others` in the channel, and for every other channel. Only `unsubscribed`
    entries are lifted that people made themselves, and at a shared address only those of this customer: a complaint, a
    bounce, what an operator or a list says, and another's no stay. Repeat: safe.
    """
    wanted = set(topics)
    mine = [entry for entry in _own(connection, key, customer_id, now) if _concerns(entry, channel, wanted)]
    wide = [entry for entry in mine if entry.scope != "topic"] if wanted else []
    named: dict[str, Any] = {"source": source, "evidence": {"customer": customer_id}, "now": now}
    if wide:
        for topic in others:
            if topic not in wanted:
                suppress(
                    connection, key, scope="topic", scope_name=topic, reason=UNSUBSCRIBED, channel=channel, **named
                )  # fmt: skip
    if any(entry.scope == "global" for entry in wide):
        for other in CHANNELS:
            if other != channel:
                suppress(connection, key, scope="channel", reason=UNSUBSCRIBED, channel=other, **named)
    lifted = [entry.id for entry in mine] if wanted else []
    _lift(connection, suppression.c.id.in_(lifted), because, now)


def _concerns(entry: Any, channel: str, topics: set[str]) -> bool:
    is_topic = entry.scope == "topic" and entry.scope_name in topics
    return bool(entry.scope == "global" or (entry.channel == channel and (entry.scope == "channel" or is_topic)))


def _own(connection: Connection, key: UUID, customer_id: int, now: datetime) -> list[Any]:
    """The opt-outs in force at the address that the customer made, as far as can be told."""
    entry = suppression.c
    in_the_way = select(suppression).where(
        entry.address_key == key, entry.reason == UNSUBSCRIBED, in_force(suppression, now),
        entry.source.in_(_THEMSELVES) | entry.source.startswith("form:", autoescape=True)
        | entry.evidence.has_key("withdrawal"),  # of a consent, which a newer one takes back
    )  # fmt: skip
    found = list(connection.execute(in_the_way).all())
    neighbours = select(customer.c.id).where(customer.c.address_key == key, customer.c.id != customer_id).limit(1)
    if not found or connection.execute(neighbours).first() is None:
        return found
    named = {entry.evidence.get("message_id") for entry in found} - {None}
    written = select(message.c.id).where(message.c.id.in_(named), message.c.customer_id == customer_id)
    theirs = set(connection.execute(written).scalars())
    return [
        entry for entry in found
        if entry.evidence.get("customer") == customer_id or entry.evidence.get("message_id") in theirs
    ]  # fmt: skip


def _lift(connection: Connection, which: ColumnElement[bool], because: str, now: datetime) -> None:
    values = {"lifted_at": now, "lifted_because": because}
    connection.execute(update(suppression).where(which, suppression.c.lifted_at.is_(None)).values(**values))
