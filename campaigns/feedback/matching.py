"""Whose message is meant: by a signed token, else by a Message-ID or envelope id, else by address and time (S-4.4).

Message-IDs and envelope ids are not stored: those of the messages to the address in question are computed and
compared. Both hold keyed hashes, so nobody makes one up who has not seen the message.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, bindparam, text
from sqlalchemy import UUID as UUID_TYPE

from campaigns.mailings import envelope_id_of
from campaigns.message_ids import identity_of, message_id_of
from core.addresses import parse_address
from core.arrays import Ids
from core.errors import AddressError
from core.ids import address_key
from tracking.feedback import Feedback, MatchedBy

#: Of one address at most so many of its latest messages are compared.
_LATEST: Final = 500
#: A message this much older than the event is not guessed to be meant.
_GUESSED_WITHIN: Final = timedelta(days=14)
#: The guess is good enough to change the ledger, when a provider vouches for the event.
_GOOD_WITHIN: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Meant:
    """The message that is meant, as far as feedback needs it."""

    id: int
    run_id: int
    campaign: str
    topic: str
    customer_id: int | None
    key: UUID | None
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Match:
    """One event with what is known about it. `key`: of the address it is about; `email` as the customer has it."""

    feedback: Feedback
    key: UUID | None
    message: Meant | None
    by: MatchedBy | None
    customer_id: int | None
    owner: str | None
    present_key: UUID | None  # of the address the customer has now
    domain: str | None  # of the recipient, as far as known

    @property
    def is_proven(self) -> bool:
        """Only somebody who had the message in hands can have reported this."""
        return self.by is not None and self.by is not MatchedBy.ADDRESS

    @property
    def counts(self) -> bool:
        """Something may follow from it: it is proven, or a provider vouches for it with a signature."""
        return self.is_proven or self.feedback.is_verified

    @property
    def is_told(self) -> bool:
        """The message is known well enough for the ledger: proven; or it went to this address shortly before, where a
        provider vouches for an event that names no message at all."""
        if self.message is None or self.is_proven:
            return self.message is not None
        said, accepted_at = self.feedback, self.message.accepted_at
        is_nameless = not said.named and said.is_verified
        return is_nameless and accepted_at is not None and said.occurred_at - accepted_at <= _GOOD_WITHIN


_COLUMNS: Final = """
    m.id, m.run_id, m.campaign, m.step, m.occurrence, m.customer_id, m.address_key, m.accepted_at, v.topic,
    v.definition -> 'sender' ->> 'email' AS sender
"""
_BY_ID: Final = text(f"""
    SELECT {_COLUMNS}
    FROM message AS m JOIN run AS r ON r.id = m.run_id JOIN campaign_version AS v ON v.id = r.version_id
    WHERE m.id = ANY(:ids)
""").bindparams(bindparam("ids", type_=Ids))  # noqa: S608  constants
_OF_ADDRESSES: Final = text(f"""
    SELECT {_COLUMNS} FROM (
        SELECT id FROM customer WHERE address_key = ANY(:keys)
        UNION SELECT customer_id FROM customer_address WHERE address_key = ANY(:keys)
    ) AS c
    JOIN LATERAL (
        SELECT * FROM message WHERE customer_id = c.id AND address_key = ANY(:keys) AND skip_reason IS NULL
        ORDER BY id DESC LIMIT {_LATEST}
    ) AS m ON true
    JOIN run AS r ON r.id = m.run_id JOIN campaign_version AS v ON v.id = r.version_id
    ORDER BY m.id DESC
""").bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)))  # noqa: S608  constants
_CUSTOMERS: Final = text("""
    SELECT id, address_key, owner, email FROM customer WHERE id = ANY(:ids) OR address_key = ANY(:keys) ORDER BY id
""").bindparams(bindparam("ids", type_=Ids), bindparam("keys", type_=ARRAY(UUID_TYPE)))


def match(connection: Connection, feedbacks: Sequence[Feedback], secret: bytes) -> list[Match]:
    """The events in their order, each with the message and the customer it is about, where they are known."""
    keys = [_key(secret, feedback.address) for feedback in feedbacks]
    others = [[key for each in one.also if (key := _key(secret, each)) is not None] for one in feedbacks]
    proven = _by_id(connection, feedbacks)
    asked = {
        key
        for one, first, more in zip(feedbacks, keys, others, strict=True)
        for key in (first, *more)
        if key is not None and one.message_id not in proven
    }
    sent = _of_addresses(connection, asked)
    found = [
        _found(feedback, key, proven, [row for each in (key, *more) if each for row in sent.get(each, ())], secret)
        for feedback, key, more in zip(feedbacks, keys, others, strict=True)
    ]
    return _with_customers(connection, feedbacks, keys, found)


def _key(secret: bytes, address: str | None) -> UUID | None:
    try:
        return address_key(secret, parse_address(address).comparable) if address else None
    except AddressError:
        return None


def _by_id(connection: Connection, feedbacks: Iterable[Feedback]) -> Mapping[int, Row[Any]]:
    ids = sorted({one.message_id for one in feedbacks if one.message_id is not None and one.matched_by in _TOKENS})
    return {row.id: row for row in connection.execute(_BY_ID, {"ids": ids})} if ids else {}


_TOKENS: Final = frozenset(MatchedBy) - {MatchedBy.ADDRESS}


def _of_addresses(connection: Connection, keys: Iterable[UUID]) -> Mapping[UUID, list[Row[Any]]]:
    """The latest messages to each address, the newest first."""
    wanted = sorted(keys)
    sent: dict[UUID, list[Row[Any]]] = {}
    for row in connection.execute(_OF_ADDRESSES, {"keys": wanted}) if wanted else ():
        sent.setdefault(row.address_key, []).append(row)
    return sent


def _found(
    feedback: Feedback, key: UUID | None, proven: Mapping[int, Row[Any]], sent: Sequence[Row[Any]], secret: bytes
) -> tuple[Row[Any] | None, MatchedBy | None]:
    if feedback.message_id is not None and feedback.message_id in proven:
        return proven[feedback.message_id], feedback.matched_by
    named = {name.strip().strip("<>").lower() for name in feedback.named}
    for row in sent if named else ():
        identity = identity_of(row.campaign, row.step, row.occurrence, row.address_key)
        if envelope_id_of(identity) in named:
            return row, MatchedBy.ENVELOPE_ID
        if row.sender and message_id_of(secret, identity, row.sender).lower() in named:
            return row, MatchedBy.MESSAGE_ID
    latest = feedback.occurred_at - _GUESSED_WITHIN
    for row in sent if key else ():
        if row.address_key == key and row.accepted_at is not None and latest <= row.accepted_at <= feedback.occurred_at:
            return row, MatchedBy.ADDRESS
    return None, None


def _with_customers(
    connection: Connection,
    feedbacks: Sequence[Feedback],
    keys: Sequence[UUID | None],
    found: Sequence[tuple[Row[Any] | None, MatchedBy | None]],
) -> list[Match]:
    ids = sorted({row.customer_id for row, _ in found if row is not None and row.customer_id is not None})
    known_keys = sorted({key for key in keys if key is not None})
    by_id: dict[int | None, Row[Any]] = {}
    by_key: dict[UUID, Row[Any]] = {}
    for row in connection.execute(_CUSTOMERS, {"ids": ids, "keys": known_keys}) if ids or known_keys else ():
        by_id[row.id] = row
        if row.address_key is not None:
            by_key.setdefault(row.address_key, row)
    return [
        _match(feedback, key, row, by, by_id, by_key)
        for feedback, key, (row, by) in zip(feedbacks, keys, found, strict=True)
    ]


def _match(
    feedback: Feedback,
    key: UUID | None,
    row: Row[Any] | None,
    by: MatchedBy | None,
    by_id: Mapping[int | None, Row[Any]],
    by_key: Mapping[UUID, Row[Any]],
) -> Match:
    """What a proven message says of its address outranks what the report says: mail is forwarded, and then comes back
    from somewhere else."""
    is_proven = row is not None and by is not MatchedBy.ADDRESS
    about = row.address_key if row is not None and is_proven else key
    person = by_id.get(row.customer_id) if row is not None else by_key.get(about or _NIL)
    reported = feedback.address if key == about else None  # never of a proven message, unless it is the same one
    email = person.email if person is not None and person.address_key == about else reported
    columns = ("id", "run_id", "campaign", "topic", "customer_id", "address_key", "accepted_at")
    meant = Meant(*(row._mapping[name] for name in columns)) if row is not None else None
    return Match(
        feedback=feedback,
        key=about,
        message=meant,
        by=by,
        customer_id=person.id if person is not None else None,
        owner=person.owner if person is not None else None,
        present_key=person.address_key if person is not None else None,
        domain=_domain(email),
    )


_NIL: Final = UUID(int=0)


def _domain(email: str | None) -> str | None:
    try:
        return parse_address(email).domain if email else None
    except AddressError:
        return None
