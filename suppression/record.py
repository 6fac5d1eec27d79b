"""What people and operators said, written down: suppression entries, their lifting, and withdrawn consent.

Writes the tables suppression and consent. Entries are never deleted: lifting one sets `lifted_at` and the
reason, and a stronger word is a new row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, and_, false, func, literal, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from core import schema
from core.errors import UsageError
from core.people_lock import people_stay
from suppression.gate import PAUSED, UNSUBSCRIBED
from suppression.locks import lock_addresses

#: The source of entries made because the hash of an address is on a list.
HASHED_LIST: Final = "hashed_list"

Scope = Literal["global", "channel", "topic", "campaign"]

_suppression, _consent, _message = schema.suppression, schema.consent, schema.message


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """An opt-out that is in force. `is_new` is False when it already was before."""

    key: UUID
    topic: str
    everything: bool
    is_new: bool


def suppress(
    connection: Connection,
    key: UUID,
    *,
    scope: Scope,
    scope_name: str = "",
    reason: str,
    source: str,
    channel: str = "email",
    evidence: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> bool:
    """An entry with this scope and reason forbids sending to the address until `expires_at` (None: for good).

    True: a new entry was written. False: one that holds at least as long was already there and stays as it
    is. `now` is the database's time when not given. Repeat: safe.

    Raises:
        UsageError: a pause without an end.
    """
    at = func.now() if now is None else now
    if reason == PAUSED and expires_at is None:
        raise UsageError("a pause without an end (got none, expected when it is over)")
    entry = {
        "address_key": key,
        "channel": channel,
        "scope": scope,
        "scope_name": scope_name,
        "reason": reason,
    }
    if reason == UNSUBSCRIBED:
        lock_addresses(connection, [key])
        topic = scope_name if scope == "topic" else None
        if scope != "campaign":
            _void_requests(connection, key, topic, None if scope == "global" else channel, source, now)
    _close_shorter(connection, entry, expires_at, at)
    written = connection.execute(
        insert(_suppression)
        .values(**entry, source=source, evidence=dict(evidence or {}), expires_at=expires_at, created_at=at)
        .on_conflict_do_nothing(index_elements=list(entry), index_where=_suppression.c.lifted_at.is_(None))
        .returning(_suppression.c.id)
    )
    return written.first() is not None


#: PostgreSQL tells no two instants apart that are closer.
_NEXT: Final = timedelta(microseconds=1)
#: An opt-out that is on record already leaves no new entry: without this, a request before it could be confirmed later.
_VOID: Final = text("""
    INSERT INTO consent (customer_id, channel, topic, state, basis, source, captured_at)
    SELECT customer_id, channel, topic, 'withdrawn', basis, :source,
           greatest(captured_at + interval '1 microsecond', coalesce(CAST(:at AS timestamptz), now()))
    FROM (
        SELECT DISTINCT ON (customer_id, channel, topic) customer_id, channel, topic, state, basis, captured_at
        FROM consent
        WHERE customer_id IN (SELECT id FROM customer WHERE address_key = :key)
          AND (CAST(:channel AS text) IS NULL OR channel = :channel)
          AND (CAST(:topic AS text) IS NULL OR topic = :topic)
        ORDER BY customer_id, channel, topic, captured_at DESC, id DESC
    ) AS latest
    WHERE state = 'requested'
    ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING
""")


def _void_requests(
    connection: Connection, key: UUID, topic: str | None, channel: str | None, source: str, at: datetime | None
) -> None:
    """What people at the address were asked to confirm (None: any topic, any channel) cannot be confirmed any more."""
    connection.execute(_VOID, {"key": key, "topic": topic, "channel": channel, "source": source, "at": at})


def _close_shorter(connection: Connection, entry: Mapping[str, Any], expires_at: datetime | None, at: Any) -> None:
    """An open row that has expired, or would end before the new one, makes room for it."""
    ends = _suppression.c.expires_at
    connection.execute(
        update(_suppression)
        .where(*(_suppression.c[name] == value for name, value in entry.items()))
        .where(_suppression.c.lifted_at.is_(None))
        .where(ends.is_not(None) if expires_at is None else or_(ends <= at, ends < expires_at))
        .values(lifted_at=at, lifted_because="replaced by a later entry")
    )


def lift(
    connection: Connection,
    key: UUID,
    *,
    because: str,
    scope: Scope | None = None,
    scope_name: str | None = None,
    reason: str | None = None,
    channel: str | None = None,
    now: datetime | None = None,
) -> int:
    """No entry of the address that fits the given scope, name, reason and channel (None: any) forbids
    sending.

    Returns how many were lifted. They stay readable, with `because`. Withdrawn consent stays withdrawn. Where an
    entry came from a hashed list, the digests of the address are lifted with it.

    Raises:
        UsageError: `because` is empty: nothing is lifted silently.
    """
    if not because.strip():
        raise UsageError("an entry is lifted only with a reason", hint="say why with --because")
    wanted = {"scope": scope, "scope_name": scope_name, "reason": reason, "channel": channel}
    lifted = connection.execute(
        update(_suppression)
        .where(_suppression.c.address_key == key, _suppression.c.lifted_at.is_(None))
        .where(*(_suppression.c[name] == value for name, value in wanted.items() if value is not None))
        .values(lifted_at=func.now() if now is None else now, lifted_because=because.strip())
        .returning(_suppression.c.source)
    )
    sources = lifted.scalars().all()
    if HASHED_LIST in sources:
        connection.execute(_LIFT_DIGESTS, {"key": key, "because": because.strip(), "reason": reason, "now": now})
    return len(sources)


_LIFT_DIGESTS: Final = text("""
    UPDATE blocked_digest SET lifted_at = coalesce(CAST(:now AS timestamptz), now()), lifted_because = :because
    WHERE lifted_at IS NULL AND (CAST(:reason AS text) IS NULL OR reason = :reason)
      AND digest IN (SELECT d FROM customer CROSS JOIN address_digests(email) AS d WHERE address_key = :key)
""")


def unsubscribe(
    connection: Connection, *, message_id: int, source: str, everything: bool = False, now: datetime
) -> Unsubscribed | None:
    """The recipient of the message gets no more mail about its topic (or, with `everything`, no more at all).

    None when there is no such message, or it had no address. The address is suppressed, and consent is
    withdrawn by the message's customer and by every other customer at the address. A customer who has another
    address by now is suppressed there too. Repeat: safe, also concurrently. Atomic with the connection's
    transaction.
    """
    people_stay(connection)  # what they withdraw is recorded by their number
    found = connection.execute(
        select(
            _message.c.address_key,
            _message.c.customer_id,
            _message.c.campaign,
            schema.campaign_version.c.topic,
            schema.customer.c.address_key.label("present_key"),
        )
        .outerjoin(schema.customer, schema.customer.c.id == _message.c.customer_id)
        .join(schema.run, schema.run.c.id == _message.c.run_id)
        .join(schema.campaign_version, schema.campaign_version.c.id == schema.run.c.version_id)
        .where(_message.c.id == message_id)
    ).one_or_none()
    if found is None or found.address_key is None:
        return None
    keys = dict.fromkeys(key for key in (found.address_key, found.present_key) if key is not None)
    lock_addresses(connection, keys)
    written = [
        suppress(
            connection,
            key,
            scope="global" if everything else "topic",
            scope_name="" if everything else found.topic,
            reason="unsubscribed",
            source=source,
            evidence={"message_id": message_id, "campaign": found.campaign},
            now=now,
        )
        for key in keys
    ]
    # After the insert: a concurrent opt-out has committed by now, so its withdrawal is seen and not repeated.
    withdraw(
        connection,
        found.address_key,
        customer_id=found.customer_id,
        topic=None if everything else found.topic,
        source=source,
        proof={"message_id": message_id},
        now=now,
    )
    return Unsubscribed(found.address_key, found.topic, everything, any(written))


def withdraw(
    connection: Connection,
    key: UUID | None,
    *,
    customer_id: int | None = None,
    topic: str | None,
    source: str,
    proof: Mapping[str, Any] | None = None,
    channel: str = "email",
    now: datetime,
) -> int:
    """Nobody at the address, nor the customer given, agrees to `topic` (None: to any topic) any more.

    The address is suppressed for it, and that which the customer has by now: the no binds whoever comes there later,
    and an address nobody is known at. What they were asked to confirm cannot be confirmed any more, either.
    Returns how many consents and requests were withdrawn, each a new row; when there were none, how many addresses
    are suppressed anew. Repeat: safe, what is withdrawn stays as it is.
    """
    present = select(schema.customer.c.address_key).where(schema.customer.c.id == customer_id)
    keys = {key, connection.execute(present).scalar_one_or_none() if customer_id is not None else None} - {None}
    lock_addresses(connection, keys)
    latest, mine = _consent.alias("latest"), schema.customer
    at_address = false() if key is None else mine.c.address_key == key
    people = select(mine.c.id).where(or_(at_address, mine.c.id == customer_id))
    newest = (
        select(latest)
        .ext(distinct_on(latest.c.customer_id, latest.c.topic))
        .where(latest.c.customer_id.in_(people), latest.c.channel == channel)
        .where(true() if topic is None else latest.c.topic == topic)
        .order_by(latest.c.customer_id, latest.c.topic, latest.c.captured_at.desc(), latest.c.id.desc())
        .subquery("newest")
    )
    # A consent captured in the future (a wrong clock elsewhere), or at this very instant, must not outlive its
    # withdrawal; and the same fact cannot be on record twice.
    captured_at = func.greatest(newest.c.captured_at + _NEXT, literal(now, newest.c.captured_at.type))
    rows = select(
        newest.c.customer_id,
        newest.c.channel,
        newest.c.topic,
        literal("withdrawn"),
        newest.c.basis,
        literal(source),
        literal(dict(proof or {}), schema.consent.c.proof.type),
        captured_at,
    ).where(newest.c.state != "withdrawn")
    columns = ["customer_id", "channel", "topic", "state", "basis", "source", "proof", "captured_at"]
    written = connection.execute(insert(_consent).from_select(columns, rows).returning(_consent.c.id)).all()
    evidence = {**(proof or {}), "withdrawal": True} | ({} if customer_id is None else {"customer": customer_id})
    stopped = [_stop(connection, each, topic, channel, source, evidence, now) for each in keys if each is not None]
    return len(written) or sum(stopped)


def _stop(
    connection: Connection, key: UUID, topic: str | None, channel: str, source: str,
    evidence: Mapping[str, Any], now: datetime,
) -> bool:  # fmt: skip
    """An opt-out for good keeps the topic (None: every one) of the channel from the address; True: it is new.

    It is on record beside a wider one, which may be lifted some day, unless both are the same word.
    """
    entry = _suppression.c
    within = entry.scope == "channel"
    if topic is not None:  # who says no to everything once more has said so before
        within = or_(within, and_(entry.scope == "topic", entry.scope_name == topic))
    there = select(entry.id).where(
        entry.address_key == key, entry.reason == UNSUBSCRIBED, entry.lifted_at.is_(None), entry.expires_at.is_(None),
        entry.source == source, true() if topic is None else entry.created_at == now,
        or_(entry.scope == "global", and_(entry.channel == channel, within)),
    )  # fmt: skip
    if connection.execute(there.limit(1)).first() is not None:
        return False
    return suppress(
        connection, key, scope="channel" if topic is None else "topic", scope_name=topic or "", reason=UNSUBSCRIBED,
        source=source, channel=channel, evidence=evidence, now=now,
    )  # fmt: skip
