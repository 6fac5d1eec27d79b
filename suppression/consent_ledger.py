"""What customers agree to, written down: asked for, confirmed, given in person, and what may be recorded of them.

Writes the table consent, which only grows: the latest row of a customer, channel and topic counts, requests aside.
`suppression.record.withdraw` takes consent back. What is decided on what was said before waits for whoever else is
writing about the same address (`suppression.locks`), so a yes never overtakes a no.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, RowMapping, select, text
from sqlalchemy.dialects.postgresql import insert

from core.errors import NotFound, UsageError
from core.latest_word import newest_first
from core.local_time import shown_in
from core.schema import consent, customer
from suppression.locks import lock_addresses
from suppression.watching import PROFILING, TRACKING
from suppression.wishes import come_back

__all__ = ["PROFILING", "TRACKING", "About", "Confirmed", "Wording", "choose", "confirm_consent", "grant_consent",
           "request_consent"]  # fmt: skip

About = Literal["tracking", "profiling"]
#: PostgreSQL tells no two instants apart that are closer; one fact cannot be on record twice.
_NEXT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wording:
    """The text that was agreed to: its version, and the SHA-256 of it in hexadecimal digits."""

    version: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What came of a confirmation. `void` are topics that were never asked for, or refused since."""

    topics: tuple[str, ...]
    void: tuple[str, ...]
    is_new: bool  # False: all of it was confirmed before


def request_consent(
    connection: Connection, customer_id: int, topics: Iterable[str], *, source: str, wording: Wording = Wording(),
    proof: Mapping[str, Any] | None = None, channel: str = "email", now: datetime,
) -> None:  # fmt: skip
    """The customer was asked to confirm these topics; until they do nothing changes. Repeat: safe.

    Nothing is sent: that is the caller's.
    """
    for topic in sorted(set(topics)):
        _write(
            connection, customer_id, channel, topic, "requested", source, basis="consent", wording=wording,
            proof=proof, captured_at=now,
        )  # fmt: skip


def confirm_consent(
    connection: Connection, customer_id: int, topics: Iterable[str], *, source: str, known_topics: Collection[str],
    proof: Mapping[str, Any] | None = None, channel: str = "email", sign_up: int | None = None, now: datetime,
) -> Confirmed:  # fmt: skip
    """What was requested of these topics is confirmed: only the owner of the mailbox could do that.

    A request that the customer, or anybody at the address, answered with an opt-out since is void. What they opted
    out of before the request is lifted for these topics; a wider opt-out goes on for the other `known_topics`. With
    `sign_up` only what that sign-up requested is: each link confirms the wording its own form showed.
    Repeat: safe. Atomic: with the connection's transaction.

    Raises:
        NotFound: there is no such customer.
    """
    key = _address(connection, customer_id)
    lock_addresses(connection, [key])
    confirmed, fresh, void = [], [], []
    named = {"person": customer_id, "channel": channel, "key": key, "sign_up": sign_up}
    for topic in sorted(set(topics)):
        asked = connection.execute(_ASKED, named | {"topic": topic})
        row = asked.mappings().one_or_none()
        if row is None or row["is_void"]:
            void.append(topic)
            continue
        confirmed.append(topic)
        if not row["is_confirmed"]:
            fresh.append(topic)
            _confirm(connection, customer_id, channel, topic, row, source, proof, now)
    if fresh and key is not None:
        come_back(
            connection, key, customer_id, fresh, channel=channel, others=known_topics, source=source,
            because="agreed again, and confirmed it", now=now,
        )  # fmt: skip
    return Confirmed(tuple(confirmed), tuple(void), bool(fresh))


#: The latest request, and what became of it. An opt-out that was repeated has no new entry, but it withdrew.
_ASKED: Final = text("""
    SELECT r.id, r.captured_at, r.wording, r.wording_hash, r.proof,
           EXISTS (
               SELECT FROM consent AS c
               WHERE c.customer_id = :person AND c.channel = :channel AND c.topic = :topic AND c.state = 'confirmed'
                 AND (c.captured_at, c.id) > (r.captured_at, r.id)
           ) AS is_confirmed,
           EXISTS (
               SELECT FROM consent AS c
               WHERE c.customer_id = :person AND c.channel = :channel AND c.topic = :topic AND c.state = 'withdrawn'
                 AND (c.captured_at, c.id) > (r.captured_at, r.id)
           ) OR EXISTS (
               SELECT FROM suppression AS e
               WHERE e.address_key = :key AND e.lifted_at IS NULL AND e.reason = 'unsubscribed'
                 AND e.created_at > r.captured_at
                 AND (e.scope = 'global' OR e.channel = :channel
                      AND (e.scope = 'channel' OR e.scope = 'topic' AND e.scope_name = :topic))
           ) AS is_void
    FROM consent AS r
    WHERE r.customer_id = :person AND r.channel = :channel AND r.topic = :topic AND r.state = 'requested'
      AND (CAST(:sign_up AS bigint) IS NULL OR r.proof @> jsonb_build_object('sign_up', CAST(:sign_up AS bigint)))
    ORDER BY r.captured_at DESC, r.id DESC LIMIT 1
""")


def _confirm(
    connection: Connection, customer_id: int, channel: str, topic: str, request: RowMapping, source: str,
    proof: Mapping[str, Any] | None, now: datetime,
) -> None:  # fmt: skip
    shown = dict(request["proof"]) | {"requested_at": request["captured_at"].isoformat()} | dict(proof or {})
    _write(
        connection, customer_id, channel, topic, "confirmed", source, basis="consent",
        wording=Wording(request["wording"], request["wording_hash"]), proof=shown,
        captured_at=max(now, request["captured_at"] + _NEXT),
    )  # fmt: skip


def grant_consent(
    connection: Connection, customer_id: int, topics: Iterable[str], *, source: str, basis: str = "consent",
    wording: Wording = Wording(), proof: Mapping[str, Any] | None = None, captured_at: datetime | None = None,
    expires_at: datetime | None = None, channel: str = "email", now: datetime,
) -> int:  # fmt: skip
    """The customer said yes to these topics at `captured_at` (None: now); returns how many rows are new.

    Whatever was said later than that still counts, and no suppression is lifted. Repeat: safe.

    Raises:
        UsageError: the yes lies in the future: it would outrank every no until then.
    """
    at = now if captured_at is None else captured_at
    if at > now:
        raise UsageError(f"the consent lies in the future (got {shown_in('UTC', at)})")
    return sum(
        _write(
            connection, customer_id, channel, topic, "granted", source, basis=basis, wording=wording, proof=proof,
            captured_at=at, expires_at=expires_at,
        )
        for topic in sorted(set(topics))
    )  # fmt: skip


def choose(
    connection: Connection, customer_id: int, about: About, *, allowed: bool, source: str,
    proof: Mapping[str, Any] | None = None, now: datetime,
) -> bool:  # fmt: skip
    """The customer lets us record opens and clicks (`tracking`), or choose by behaviour (`profiling`), or not.

    A no binds everybody at the address, as an opt-out does; a yes is the customer's own. False: nothing changed.
    Repeat: safe.
    """
    key = _address(connection, customer_id)
    lock_addresses(connection, [key])
    mine = customer.c.id == customer_id
    people = mine if allowed or key is None else mine | (customer.c.address_key == key)
    state = "granted" if allowed else "withdrawn"
    written = False
    for person in connection.execute(select(customer.c.id).where(people).order_by(customer.c.id)).scalars().all():
        latest = _latest(connection, person, about)
        if latest is None or latest["state"] != state:
            at = now if latest is None else max(now, latest["captured_at"] + _NEXT)
            _write(connection, person, about, "", state, source, basis="consent", proof=proof, captured_at=at)
            written = True
    return written


def _latest(connection: Connection, customer_id: int, channel: str) -> RowMapping | None:
    said = select(consent.c.state, consent.c.captured_at).where(
        consent.c.customer_id == customer_id, consent.c.channel == channel, consent.c.topic == ""
    )
    return connection.execute(said.order_by(text(newest_first())).limit(1)).mappings().one_or_none()


def _address(connection: Connection, customer_id: int) -> Any:
    """The customer's address key; None when they have no address.

    Raises:
        NotFound: there is no such customer.
    """
    row = connection.execute(select(customer.c.address_key).where(customer.c.id == customer_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no customer with the number {customer_id}")
    return row.address_key


def _write(
    connection: Connection, customer_id: int, channel: str, topic: str, state: str, source: str, *, basis: str,
    wording: Wording = Wording(), proof: Mapping[str, Any] | None = None, captured_at: datetime,
    expires_at: datetime | None = None,
) -> bool:  # fmt: skip
    """One fact is on record; False: it was before."""
    row = {
        "customer_id": customer_id, "channel": channel, "topic": topic, "state": state, "basis": basis,
        "source": source, "wording": wording.version, "wording_hash": wording.digest, "proof": dict(proof or {}),
        "captured_at": captured_at, "expires_at": expires_at,
    }  # fmt: skip
    written = insert(consent).values(**row).on_conflict_do_nothing(constraint="uq_consent_fact")
    return connection.execute(written.returning(consent.c.id)).first() is not None
