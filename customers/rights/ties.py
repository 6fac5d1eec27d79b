"""Which rows are about a person, found by walking the schema: a table made later cannot be forgotten."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from sqlalchemy import ColumnElement, Table, and_, any_, exists, false, func, literal, or_, select, types
from sqlalchemy.dialects.postgresql import ARRAY

from core.arrays import among
from core.schema import (
    audit,
    blocked_digest,
    customer,
    enrolment,
    inbound_mail,
    inquiry,
    message,
    metadata,
    registration,
    staff_notice,
    task,
)
from customers.rights.subject import Subject, of_keys


class By(StrEnum):
    """What in a row says whom it is about."""

    CUSTOMER = "customer"  #: the number of a customer
    PART = "part"  #: the row of another table, which it is a part of
    MESSAGE = "message"  #: the number of a message
    ADDRESS = "address"  #: the key of an address
    DIGEST = "digest"  #: the MD5 or SHA-256 of an address
    INQUIRY = "inquiry"  #: it is work on an inquiry
    CONTENT = "content"  #: the header of a mail
    NAME = "name"  #: `customer:<number>` or `address:<key>`, in words


@dataclass(frozen=True, slots=True)
class Tie:
    """A column that says whom a row is about."""

    column: str
    by: By


_ASCII_END: Final = 0x80

#: Columns whose numbers are messages of many people: they say nothing about one of them.
_OF_MANY: Final = frozenset({"batch.message_ids"})
#: Rows that say what became of another row: they are about whom that one is about.
_PARTS: Final = {"enrolment_step.enrolment_id": enrolment, "registration_change.registration_id": registration}


#: What in the rows of these tables says it beside the columns that are found by their names.
_OWN: Final = {
    customer: Tie("id", By.CUSTOMER),
    message: Tie("id", By.MESSAGE),
    task: Tie("id", By.INQUIRY),
    staff_notice: Tie("notice_key", By.INQUIRY),
    audit: Tie("subject", By.NAME),
    inbound_mail: Tie("raw", By.CONTENT),  # of nobody who was found, it may still come from them
    blocked_digest: Tie("digest", By.DIGEST),
}


@lru_cache(maxsize=256)
def ties_of(table: Table) -> tuple[Tie, ...]:
    """The columns of the table that say whom a row is about, the plainest first; empty: it is about nobody."""
    found = sorted(_ties(table), key=lambda tie: list(By).index(tie.by))
    return tuple(found)


def _ties(table: Table) -> Iterator[Tie]:
    if table in _OWN:
        yield _OWN[table]
    for column in table.columns:
        refers_to = {key.column.table for key in column.foreign_keys}
        if f"{table.name}.{column.name}" in _OF_MANY:
            continue
        if f"{table.name}.{column.name}" in _PARTS:
            yield Tie(column.name, By.PART)
        elif customer in refers_to or column.name == "customer_id":
            yield Tie(column.name, By.CUSTOMER)
        elif message in refers_to or column.name == "message_id":
            yield Tie(column.name, By.MESSAGE)
        elif column.name == "address_key" or column.name.endswith("_address_key"):
            yield Tie(column.name, By.ADDRESS)


def tied_tables() -> tuple[Table, ...]:
    """Every table with rows about people; one that others refer to comes before them."""
    return tuple(table for table in metadata.sorted_tables if ties_of(table))


def about(table: Table, subject: Subject) -> ColumnElement[bool]:
    """SQL: the row of `table` is about the person.

    The plainest tie a row has decides: what belongs to a customer is about that customer alone, whichever addresses or
    messages it names.
    """
    undecided: list[ColumnElement[bool]] = []
    found: list[ColumnElement[bool]] = []
    for tie in ties_of(table):
        column = table.c[tie.column]
        found.append(and_(*undecided, _meets(column, tie.by, subject)))
        if tie.by in (By.CUSTOMER, By.PART, By.MESSAGE):
            if not column.nullable:
                break
            undecided.append(column.is_(None))
    return or_(false(), *found)


def of_inquiries(column: ColumnElement[object], those: ColumnElement[bool]) -> ColumnElement[bool]:
    """SQL: the task of this number, or the notice of this key, is about one of `those` inquiries."""
    if column is task.c.id:
        return column.in_(select(inquiry.c.task_id).where(those))
    told = func.starts_with(column, func.concat("inquiry:", inquiry.c.id, ":"))
    return exists().where(those, told)


def _meets(column: ColumnElement[object], by: By, subject: Subject) -> ColumnElement[bool]:
    match by:
        case By.CUSTOMER:
            return among(column, subject.customers)  # type: ignore[arg-type]
        case By.PART:
            whole = _PARTS[str(column)]
            return column.in_(select(whole.c.id).where(about(whole, subject)))
        case By.MESSAGE:
            return among(column, subject.messages)  # type: ignore[arg-type]
        case By.ADDRESS:
            return of_keys(column, subject.keys)  # type: ignore[arg-type]
        case By.DIGEST:
            return column == any_(literal(list(subject.digests), ARRAY(types.LargeBinary)))
        case By.INQUIRY:
            return of_inquiries(column, about(inquiry, subject))
        case By.CONTENT:
            return _is_theirs(column, subject)
        case By.NAME:
            return column == any_(literal(list(_names(subject)), ARRAY(types.Text)))


#: Fields that say who wrote, or who a server could not reach. An address in a text, or in a name, says neither.
_FIELDS: Final = (
    "from", "sender", "reply-to", "return-path", "resent-from", "resent-sender", "envelope-from", "x-envelope-from",
    "x-envelope-sender", "x-sender", "x-original-from", "x-failed-recipients",
)  # fmt: skip
_BLANK: Final = r"(?:[ \t]|\n[ \t])*"
_REPORT: Final = r"(?:^|\n)content-type:(?:[^\n]|\n[ \t])*multipart/report"


def _is_theirs(raw: ColumnElement[object], subject: Subject) -> ColumnElement[bool]:
    """SQL: the mail came from one of their addresses, or reports that one could not be reached.

    One that nobody has read yet is nobody's: it may be anything.
    """
    if not subject.own_emails:
        return false()
    spelled = "|".join(sorted({re.escape(form) for email in _forms(subject) for form in _octets(email)}))
    fields, end = "|".join(_FIELDS), rf"{_BLANK}(?:[>,;(]|$|\n)"
    written = rf"(?:^|\n)(?:{fields}):(?:(?:[^\n]|\n[ \t])*[<,])?{_BLANK}(?:{spelled}){end}"
    failed = rf"\n(?:final|original)-recipient:[^\n;]*;{_BLANK}<?(?:{spelled}){end}"
    whole = func.replace(func.encode(raw, "escape"), "\r", "")
    head = func.split_part(whole, "\n\n", 1)
    reports = and_(head.op("~*")(_REPORT), whole.op("~*")(failed))
    return and_(raw.is_not(None), inbound_mail.c.state != "received", or_(head.op("~*")(written), reports))


def _forms(subject: Subject) -> Iterator[str]:
    for email in (*subject.own_emails, *subject.spellings):
        yield from (email, email.lower(), email.upper())


def _octets(email: str) -> Iterator[str]:
    """The address as `encode(…, 'escape')` shows it in UTF-8, composed and decomposed."""
    for form in ("NFC", "NFD"):
        octets = unicodedata.normalize(form, email).encode()
        yield "".join(f"\\{octet:03o}" if octet >= _ASCII_END else chr(octet) for octet in octets)


def _names(subject: Subject) -> Iterator[str]:
    yield from (f"customer:{number}" for number in subject.customers)
    yield from (f"address:{key}" for key in subject.keys)
