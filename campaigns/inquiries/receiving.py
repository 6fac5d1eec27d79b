"""Inquiries come in: each is acknowledged, becomes the task of somebody, and has a deadline. Writes inquiry.

Whatever way it comes, it is kept once for its key, in one transaction with everything that follows from it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.inquiries import acknowledging, letters, office_hours
from campaigns.inquiries.desks import desk_of
from campaigns.inquiries.office_hours import OfficeHours
from campaigns.inquiries.owners import Asking, owner_of
from campaigns.inquiries.states import RECEIVED
from campaigns.transactional import MOST_GIVEN, Standing
from core import advisory
from core.addresses import Address, parse_address
from core.errors import AddressError, PlanError, UsageError
from core.ids import address_key
from core.inquiry_settings import Desk
from core.mailboxes import limit_key, lock_mailbox
from core.people_lock import people_stay
from core.plain_text import one_line, plain
from core.schema import activity, customer, inquiry
from customers.joining import customer_at

KIND: Final = "inquiry"  # of its task
LONGEST_KEY: Final = 200
LONGEST_SUBJECT: Final = 200
LONGEST_CONTENT: Final = 20_000


class Source(StrEnum):
    """Where an inquiry came from."""

    FORM = "form"  #: a page of ours; whose address it is was not proven
    MAIL = "mail"  #: the same: anybody can write in somebody's name
    API = "api"  #: a program that has a key
    OPERATOR = "operator"  #: an employee took it, by telephone or at a counter


@dataclass(frozen=True, slots=True)
class NewInquiry:
    """What somebody asks. `key` is equal whenever the same inquiry comes again, such as `form:<id of the page>`."""

    key: str
    desk: str  # an entry of `inquiries`
    source: Source
    subject: str
    content: str = ""
    email: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the desk's form, and what it `ask_for`
    language: str | None = None
    customer_id: int | None = None  # who asks, where that is known
    call_at: datetime | None = None  # when they want to be called
    mail_ids: tuple[str, ...] = ()  # of the mail it was made of
    is_answerable: bool = True  # False: nothing may be sent in answer to it (S-4.8)
    former_owner: str | None = None  # of what it goes on from


@dataclass(frozen=True, slots=True)
class Received:
    """What an inquiry came to. `is_new` is False when its key was used before: then nothing was added."""

    inquiry_id: int
    is_new: bool
    owner: str | None
    due_at: datetime
    task_id: int | None
    customer_id: int | None
    is_acknowledged: bool


def receive(
    connection: Connection,
    circumstances: Circumstances,
    wanted: NewInquiry,
    now: datetime,
    *,
    acknowledge_by: Standing | None = None,
) -> Received:
    """The inquiry is somebody's task with a deadline, that person has a notice under way, and whoever asked a mail
    which says that it was received.

    A customer is found by the address, or made. `acknowledge_by`: the desk's campaign, where the caller keeps it
    ready; without it the files are read. What keeps the mail from going is told in the task, and never keeps the
    inquiry from being received. Repeat: safe, also concurrently. Atomic with the connection's transaction.

    Raises:
        NotFound: there is no such desk.
        UsageError: the inquiry cannot be kept: no key, no text, no address.
        PlanError: a program gave the key to another inquiry before.
    """
    desk = desk_of(circumstances.settings, wanted.desk)
    address = _checked(wanted)
    advisory.hold(connection, f"inquiry|{wanted.key}")
    key = address_key(circumstances.workspace.secret, address.comparable) if address else None
    if (known := _known(connection, wanted.key)) is not None:
        _check_same(known, wanted, key)
        return _as_received(known, is_new=False)
    people_stay(connection)
    if address is not None and wanted.source not in acknowledging.TRUSTED:
        # Such may come in anybody's name, any number at once; before the lock of the address, as everywhere.
        lock_mailbox(connection, limit_key(circumstances.workspace.secret, address))
    person = _person(connection, wanted, address, key, now)
    row = _written(connection, circumstances, desk, wanted, address, key, person, now)
    if row.customer_id is not None:
        _remember(connection, row)
    message_id, problem = acknowledging.acknowledge(connection, circumstances, row, wanted, acknowledge_by, now)
    _given_out(connection, circumstances, row, problem, now)
    acknowledged_at = now if message_id is not None else None
    connection.execute(
        update(inquiry).where(inquiry.c.id == row.id).values(message_id=message_id, acknowledged_at=acknowledged_at)
    )
    known = _known(connection, wanted.key)
    assert known is not None  # noqa: S101  it was written above
    return _as_received(known, is_new=True)


def _checked(wanted: NewInquiry) -> Address | None:
    """The address of who asks; None where only the customer is known."""
    if not wanted.key.strip() or len(wanted.key) > LONGEST_KEY or not wanted.key.isprintable():
        raise UsageError(f"this is no key of an inquiry (expected 1 to {LONGEST_KEY} printable characters)")
    if len(wanted.subject) > LONGEST_SUBJECT or len(wanted.content) > LONGEST_CONTENT:
        most = f"{LONGEST_SUBJECT} characters of subject, {LONGEST_CONTENT:,} of text"
        raise UsageError(
            f"the inquiry is too long (got {len(wanted.subject)} and {len(wanted.content):,}, expected {most})"
        )
    if (size := len(json.dumps(dict(wanted.fields)))) > MOST_GIVEN:
        raise UsageError(f"the fields are too large (got {size:,} characters, expected {MOST_GIVEN:,})")
    if not one_line(wanted.subject) and not plain(wanted.content):
        raise UsageError("the inquiry is empty (expected a subject or a text)")
    if wanted.email is None:
        if wanted.customer_id is None:
            raise UsageError("nobody asks (expected an address or a customer)")
        return None
    try:
        return parse_address(wanted.email)
    except AddressError as error:
        raise UsageError(f"this is no e-mail address: {error.message}") from None


def _known(connection: Connection, key: str) -> Row[Any] | None:
    return connection.execute(select(inquiry).where(inquiry.c.inquiry_key == key)).one_or_none()


def _check_same(known: Row[Any], wanted: NewInquiry, key: UUID | None) -> None:
    """What a program sends again is what it sent; a mail can have added to the text since."""
    is_forgotten = known.customer_id is None and known.address_key is None
    if wanted.source is not Source.API or is_forgotten:
        return
    same_person = known.address_key == key if key is not None else known.customer_id == wanted.customer_id
    told = (known.desk, known.subject, known.fields, known.call_at)
    again = (wanted.desk, _subject(wanted), _fields(wanted), wanted.call_at)
    if not same_person or told != again or not known.content.startswith(plain(wanted.content)):
        raise PlanError("the key was used for another inquiry", hint="give every inquiry a key of its own")


def _subject(wanted: NewInquiry) -> str:
    return one_line(wanted.subject) or one_line(wanted.content)[:80]


def _fields(wanted: NewInquiry) -> dict[str, Any]:
    """What was filled in: an empty field and a box that nobody ticked say nothing."""
    told = {name: plain(value) if isinstance(value, str) else value for name, value in wanted.fields.items()}
    return {name: value for name, value in told.items() if value is not None and value is not False and value != ""}


def _as_received(row: Row[Any], *, is_new: bool) -> Received:
    return Received(
        row.id, is_new, row.owner, row.due_at, row.task_id, row.customer_id, row.acknowledged_at is not None
    )


def _person(
    connection: Connection, wanted: NewInquiry, address: Address | None, key: UUID | None, now: datetime
) -> int | None:
    """Who asks; None: they were erased. Their name stays with the inquiry: whose address it is was not proven."""
    if wanted.customer_id is not None or address is None or key is None:
        return wanted.customer_id
    source = f"inquiry:{wanted.desk}"
    return customer_at(connection, address, key, language=wanted.language, source=source, now=now)


def _written(
    connection: Connection, circumstances: Circumstances, desk: Desk, wanted: NewInquiry, address: Address | None,
    key: UUID | None, person: int | None, now: datetime,
) -> Row[Any]:  # fmt: skip
    who = connection.execute(
        select(customer.c.owner, customer.c.country, customer.c.language, customer.c.email, customer.c.address_key)
        .where(customer.c.id == person)
    ).one_or_none()  # fmt: skip
    language = wanted.language or (who.language if who else None)
    asking = Asking(
        who.owner if who else None, who.country if who else None, (language or "").split("-")[0] or None,
        wanted.fields, wanted.former_owner,
    )  # fmt: skip
    hours = OfficeHours.of(desk, circumstances.settings)
    due_at = wanted.call_at or office_hours.later(hours, now, desk.deadline)
    values = {
        "inquiry_key": wanted.key, "desk": wanted.desk, "source": wanted.source, "customer_id": person,
        "email": address.email if address else (who.email if who else None),
        "address_key": key or (who.address_key if who else None), "language": language,
        "subject": _subject(wanted), "content": plain(wanted.content), "fields": _fields(wanted),
        "mail_ids": list(wanted.mail_ids),
        "owner": owner_of(desk, circumstances.settings.staff, asking), "received_at": now, "due_at": due_at,
        "escalates_at": due_at, "call_at": wanted.call_at,
    }  # fmt: skip
    return connection.execute(insert(inquiry).values(**values).returning(inquiry)).one()


def _remember(connection: Connection, row: Row[Any]) -> None:
    """The customer's history knows of it."""
    told = {
        "customer_id": row.customer_id, "name": RECEIVED, "occurred_at": row.received_at, "source": row.source,
        "properties": {"desk": row.desk, "inquiry": row.id}, "event_key": f"inquiry:{row.id}:received",
    }  # fmt: skip
    connection.execute(upsert(activity).values(told).on_conflict_do_nothing(index_elements=["event_key"]))


def _given_out(
    connection: Connection, circumstances: Circumstances, row: Row[Any], problem: str, now: datetime
) -> None:
    """The task is on the owner's list, and the owner is told."""
    remark = f"Not acknowledged: {problem}" if problem else ""
    letter = letters.write(connection, circumstances, row, remark)
    task = tasks.NewTask(
        key=f"inquiry:{row.id}", kind=KIND, title=letter.title, body=letter.body, owner=row.owner,
        customer_id=row.customer_id, due_at=row.due_at,
    )  # fmt: skip
    task_id = tasks.create(connection, task, now)
    connection.execute(update(inquiry).where(inquiry.c.id == row.id).values(task_id=task_id))
    if row.owner is not None:
        subject = f"Inquiry of {letter.person}: {row.subject}"
        letters.tell(
            connection, circumstances, row, row.owner, key="received", subject=subject, text=letter.body, now=now,
            reply_to=row.email,
        )  # fmt: skip
