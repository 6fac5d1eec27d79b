"""Answers that calendar programs send: who declines there is withdrawn here (RFC 5546 section 3.2.3, S-7.15).

An answer counts if its UID is one of ours, which nobody but the attendee was told, and it comes from the attendee's
address; one to an entry that was changed since, or written before they registered anew, counts for nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from campaigns.duty import Circumstances
from campaigns.events.afterwards import Change, withdraw
from core.addresses import parse_address
from core.errors import AddressError
from core.ids import AddressKey, address_key
from core.schema import customer, registration
from tracking.inbound import people
from tracking.inbound.mime import Mail

_LARGEST: Final = 64 * 1024
_MOST_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class CalendarAnswer:
    """What a calendar answered to one entry: `says` is ACCEPTED, DECLINED or TENTATIVE."""

    uid: str
    sequence: int
    stamped_at: datetime
    says: str


def answers_in(mail: Mail) -> list[CalendarAnswer]:
    """The answers in the mail; what cannot be read is none."""
    sender = people.sender_of(mail) or ""
    parts = [part for part in mail.top.walk() if part.kind == "text/calendar" and not part.enclosed]
    return [answer for part in parts[:_MOST_PARTS] for answer in _answers(part.text(_LARGEST), sender)]


def _answers(text: str, sender: str) -> Iterator[CalendarAnswer]:
    from icalendar import Calendar  # few mails have such a part

    try:
        calendar = Calendar.from_ical(text)
        if str(calendar.get("method", "")).upper() != "REPLY":
            return
        for event in calendar.walk("VEVENT"):
            stamp = event.decoded("dtstamp")
            says = _said(event.get("attendee"), sender)
            if says is not None:
                uid, sequence = str(event.get("uid", "")), int(event.get("sequence", 0))
                if not uid.isprintable():  # none of ours; the database knows no U+0000
                    continue
                yield CalendarAnswer(uid, sequence, stamp.astimezone(UTC), says)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError):
        return


def _said(attendees: Any, sender: str) -> str | None:
    """What the sender says of themselves; where one attendee alone is named, that is them."""
    listed = attendees if isinstance(attendees, list) else [attendees]
    mine = [one for one in listed if str(one).lower() == f"mailto:{sender}".lower()]
    chosen = mine or (listed if len(listed) == 1 else [])
    return str(chosen[0].params.get("PARTSTAT", "")).upper() or None if chosen else None


def take(connection: Connection, circumstances: Circumstances, mail: Mail, now: datetime) -> str | None:
    """What the answers in the mail came to has happened, in words; None: it is no answer of one of our attendees.

    Repeat: safe.
    """
    sender = _key_of(people.sender_of(mail), circumstances)
    known = [(answer, row) for answer, row in _known(connection, answers_in(mail)) if sender in _keys(connection, row)]
    if not known:
        return None
    return "; ".join(_follow(connection, circumstances, answer, row, now) for answer, row in known)


def _key_of(address: str | None, circumstances: Circumstances) -> AddressKey | None:
    try:
        return address_key(circumstances.workspace.secret, parse_address(address or "").comparable)
    except AddressError:
        return None


def _known(connection: Connection, answers: Iterable[CalendarAnswer]) -> Iterator[tuple[CalendarAnswer, Row[Any]]]:
    for answer in answers:
        row = connection.execute(select(registration).where(registration.c.uid == answer.uid)).one_or_none()
        if row is not None:
            yield answer, row


def _keys(connection: Connection, row: Row[Any]) -> set[Any]:
    """The addresses whose answer counts: the one that registered, and the attendee's present one."""
    present = connection.execute(select(customer.c.address_key).where(customer.c.id == row.customer_id)).scalar()
    return {row.address_key, present} - {None}


def _follow(
    connection: Connection, circumstances: Circumstances, answer: CalendarAnswer, row: Row[Any], now: datetime
) -> str:
    told = f"{row.event}: {answer.says.lower()} in the calendar"
    if answer.says != "DECLINED":
        return told
    if answer.sequence < row.revision or answer.stamped_at < row.registered_at.replace(microsecond=0):
        return f"{told}, of an entry that has changed since"
    done = withdraw(connection, circumstances, row.id, now, because="declined_in_calendar")
    return f"{told}, withdrawn" if done is Change.DONE else told
