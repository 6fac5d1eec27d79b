"""Mails that came in, kept before their mailbox may forget them (S-4.10). Writes the table inbound_mail."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from core.schema import inbound_mail
from tracking.feedback import FeedbackKind

#: A mail that ended the process so often while it was read is kept aside.
MOST_ATTEMPTS: Final = 3
#: Of a mail that is too large to be read, so much is stored.
HEAD: Final = 64 * 1024
_LARGEST_NUMBER: Final = 2**31 - 1
_LONGEST_PROBLEM: Final = 500
_m = inbound_mail.c


@dataclass(frozen=True, slots=True)
class Arrived:
    """A mail as it came. `raw` holds its beginning alone when it is smaller than `size`."""

    source: str
    raw: bytes = field(repr=False)
    size: int
    envelope_to: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self.size == len(self.raw)

    @property
    def digest(self) -> bytes:
        """What tells it from every other mail."""
        known = hashlib.sha256(self.raw)
        if not self.is_whole:
            known.update(b"\x00of %d" % self.size)
        return known.digest()


@dataclass(frozen=True, slots=True)
class Stored:
    """A mail taken up to be handled."""

    id: int
    digest: bytes
    source: str
    envelope_to: str | None
    raw: bytes
    received_at: datetime
    attempt_count: int  # this one included


def store(connection: Connection, mail: Arrived, now: datetime) -> int:
    """The mail is in the table; its number there, the same for the same bytes.

    One that is too large to be read is kept aside at once, by its first 64 KB. Atomic with the connection's
    transaction. Repeat: safe.
    """
    values: dict[str, Any] = {
        "digest": mail.digest, "source": mail.source, "envelope_to": mail.envelope_to, "raw": mail.raw,
        "size": min(mail.size, _LARGEST_NUMBER), "received_at": now,
    }  # fmt: skip
    if not mail.is_whole:
        problem = f"too large to be read ({mail.size} octets): only its beginning is here, the rest is in its mailbox"
        values |= {"raw": mail.raw[:HEAD], "state": "kept_aside", "problem": problem, "handled_at": now}
    added = insert(inbound_mail).values(values).on_conflict_do_nothing(index_elements=["digest"]).returning(_m.id)
    number = connection.execute(added).scalar_one_or_none()
    if number is None:  # it is there already; a conflict waits for the other's commit, so it is seen now
        number = connection.execute(select(_m.id).where(_m.digest == mail.digest)).scalar_one()
    return int(number)


def is_settled(connection: Connection, number: int) -> bool:
    """Whether nothing more will follow from the mail: its mailbox may forget it."""
    state = connection.execute(select(_m.state).where(_m.id == number)).scalar_one_or_none()
    return state is not None and state != "received"


def begin(connection: Connection, now: datetime, lease: timedelta) -> Stored | None:
    """The oldest mail that nobody handles now is taken up, and its attempt counted; None when there is none.

    Commit before it is read: a mail whose reading ends the process is known by its attempts then. Who began it
    `lease` ago is taken to be gone. Repeat: not safe, every call takes up another one.
    """
    free = or_(_m.handled_at.is_(None), _m.handled_at < now - lease)
    oldest = (
        select(_m.id).where(_m.state == "received", free).order_by(_m.attempt_count, _m.id).limit(1)
        .with_for_update(skip_locked=True).scalar_subquery()
    )  # fmt: skip
    columns = (_m.id, _m.digest, _m.source, _m.envelope_to, _m.raw, _m.received_at, _m.attempt_count)
    taken = (
        update(inbound_mail).where(_m.id == oldest).values(attempt_count=_m.attempt_count + 1, handled_at=now)
        .returning(*columns)
    )  # fmt: skip
    row = connection.execute(taken).one_or_none()
    return Stored(**row._mapping) if row is not None else None


def give_back(connection: Connection, number: int) -> None:
    """The mail was begun in vain through no fault of its own: that is no attempt. It waits for the lease to end."""
    begun = update(inbound_mail).where(_m.id == number, _m.state == "received", _m.attempt_count > 0)
    connection.execute(begun.values(attempt_count=_m.attempt_count - 1))


def handled(
    connection: Connection, number: int, kind: FeedbackKind | None, message_id: int | None, customer_id: int | None,
    now: datetime, problem: str | None = None,
) -> bool:  # fmt: skip
    """Nothing more follows from the mail. False: somebody else was quicker, and what was done now must not count.

    Atomic with the connection's transaction, in which the mail's effects are, too.
    """
    settled = (
        update(inbound_mail)
        .where(_m.id == number, _m.state == "received")
        .values(
            {"class": kind, "state": "handled", "message_id": message_id, "customer_id": customer_id,
             "handled_at": now, "problem": problem and problem[:_LONGEST_PROBLEM]}
        )
    )  # fmt: skip
    return connection.execute(settled).rowcount == 1


def keep_aside(connection: Connection, number: int, problem: str, now: datetime) -> None:
    """The mail is kept, and not handled until somebody asks for it. Repeat: safe."""
    aside = update(inbound_mail).where(_m.id == number, _m.state == "received")
    connection.execute(aside.values(state="kept_aside", problem=problem[:_LONGEST_PROBLEM], handled_at=now))


def try_again(connection: Connection, number: int) -> bool:
    """A mail kept aside waits to be handled; False when it is none, or only its beginning is here."""
    again = (
        update(inbound_mail)
        .where(_m.id == number, _m.state == "kept_aside", func.octet_length(_m.raw) == _m.size)
        .values(state="received", problem=None, handled_at=None, attempt_count=0)
    )
    return connection.execute(again).rowcount == 1
