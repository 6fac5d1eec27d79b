"""What employees read of an inquiry: the text of its task, and the mails that tell them of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from campaigns import notices
from campaigns.duty import Circumstances
from campaigns.inquiries.desks import STAFF_LANGUAGE, field_label, title_of
from campaigns.inquiries.tags import tagged_address
from core.schema import customer
from customers.identity import shown_name
from customers.joined_mails import BEHIND
from delivery.message_bytes import EncodedFile, encoded_attachment

_LONGEST_TITLE: Final = 150
_FILE: Final = "answer-by-mail.txt"


@dataclass(frozen=True, slots=True)
class Letter:
    """An inquiry in words. `person`: who asks, as employees know them."""

    person: str
    title: str
    body: str


def write(connection: Connection, circumstances: Circumstances, row: Row[Any], remark: str = "") -> Letter:
    """The inquiry as its task and its notices show it; `remark` stands before what was asked."""
    asker = _asker(connection, row)
    person = _person(row, asker)
    title = f"Answer the inquiry of {person}: {row.subject}"
    lines = [*_head(circumstances, row, person, asker), *([remark] if remark else []), "", row.content.strip(), ""]
    lines += [BEHIND, f'  clarion inquiry answer {row.id} --outcome "what came of it"']
    if _address(circumstances, row) is not None:
        lines += [f"or answer by mail, with the address that is in {_FILE} of the notice as Bcc."]
    return Letter(person, title[:_LONGEST_TITLE], "\n".join(lines) + "\n")


def _address(circumstances: Circumstances, row: Row[Any]) -> str | None:
    return tagged_address(circumstances.settings, circumstances.workspace.secret, row.desk, row.id)


def _asker(connection: Connection, row: Row[Any]) -> Row[Any] | None:
    columns = (customer.c[name] for name in ("first_name", "last_name", "company", "external_id", "phone", "zone"))
    return connection.execute(select(*columns).where(customer.c.id == row.customer_id)).one_or_none()


def _person(row: Row[Any], asker: Row[Any] | None) -> str:
    """By the customer's own name, else as they gave it, which may be anything."""
    known = shown_name(asker._mapping) if asker is not None else ""
    if asker is not None and known != asker.external_id:
        return f"{known} ({asker.external_id})" if asker.external_id != row.email else f"{known} ({row.email})"
    told = " ".join(str(row.fields.get(name, "")) for name in ("first_name", "last_name", "company")).split()
    return " ".join([*told, f"({row.email})"]) if told and row.email else (row.email or known or "somebody unknown")


def _head(circumstances: Circumstances, row: Row[Any], person: str, asker: Row[Any] | None) -> Iterator[str]:
    settings = circumstances.settings
    desk = settings.inquiries.get(row.desk)
    title = title_of(desk, STAFF_LANGUAGE) if desk is not None else row.desk
    yield f"{person} asked us ({title}, inquiry {row.id}, by {row.source})."
    yield f"Received: {shown_time(circumstances, row.received_at)}"
    yield f"Answer by: {shown_time(circumstances, row.due_at)}"
    if row.call_at is not None:
        zone = asker.zone if asker is not None else None
        yield f"Call them: {shown_time(circumstances, row.call_at)}{_theirs(row.call_at, zone)}"
    if row.email:
        yield f"From: {row.email}"
    if asker is not None and asker.phone and "phone" not in row.fields:
        yield f"Phone: {asker.phone}"
    yield f"Subject: {row.subject}"
    for name, value in row.fields.items():
        yield f"{field_label(desk, name)}: {value}"


def _theirs(at: datetime, zone: str | None) -> str:
    """The same instant by the clock of who is called."""
    return f" ({at.astimezone(ZoneInfo(zone)):%H:%M} in {zone})" if zone else ""


def shown_time(circumstances: Circumstances, at: datetime) -> str:
    """An instant as employees read it, by the organisation's clock: `Mon 2026-11-23 09:30 CET`."""
    return f"{at.astimezone(ZoneInfo(circumstances.settings.organisation.zone)):%a %Y-%m-%d %H:%M %Z}"


def tell(
    connection: Connection, circumstances: Circumstances, row: Row[Any], owner: str, *, key: str, subject: str,
    text: str, now: datetime, reply_to: str | None = None, attachments: tuple[EncodedFile, ...] = (),
) -> bool:  # fmt: skip
    """The employee has a notice about the inquiry under way; False: with this key they had one before.

    An answer to it goes to `reply_to`, whoever asked. The address that ends the inquiry is in a file beside the text,
    since whoever answers quotes the text. Repeat: safe. Atomic with the connection's transaction.
    """
    settings = circumstances.settings
    employee = settings.staff[owner]
    if reply_to is not None and (address := _address(circumstances, row)) is not None:
        words = f"As Bcc of your answer, and in no other place, this address ends inquiry {row.id}:\n{address}\n"
        attachments = (*attachments, encoded_attachment(_FILE, "text/plain; charset=utf-8", words.encode()))
    wanted = notices.NewNotice(
        key=f"inquiry:{row.id}:{key}", recipient=employee.email, recipient_name=employee.name, subject=subject,
        text=text, reply_to=reply_to, attachments=attachments, customer_id=row.customer_id,
    )  # fmt: skip
    sender = next(iter(settings.senders.values()))
    return notices.order(connection, wanted, secret=circumstances.workspace.secret, sender=sender, now=now)
