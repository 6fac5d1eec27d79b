"""Whose mailbox a link came to: who may choose there, and whose mail a no from there stops."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, select

from core.schema import customer, customer_address, message


@dataclass(frozen=True, slots=True)
class Person:
    """Whose choices these are, at the address the link was mailed to."""

    customer_id: int
    key: UUID
    email: str
    language: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where all mail is to stop: at the address a link was mailed to, and at the one its owner has now."""

    keys: tuple[UUID, ...]
    customer_id: int | None


_PERSON: Final = (customer.c.id, customer.c.address_key, customer.c.email, customer.c.language, customer.c.country)


def person_at(connection: Connection, key: UUID) -> Person | None:
    """Who has the mailbox now: of several customers the first."""
    here = select(*_PERSON).where(customer.c.address_key == key).order_by(customer.c.id).limit(1)
    return _person(connection.execute(here).one_or_none())


def recipient_of(connection: Connection, message_id: int) -> Person | None:
    """The recipient of a message, if they still have the address it went to: whoever has the old one now must not
    choose for them."""
    same = (message.c.id == message_id) & (customer.c.address_key == message.c.address_key)
    joined = select(*_PERSON).join(message, message.c.customer_id == customer.c.id)
    return _person(connection.execute(joined.where(same)).one_or_none())


def mailbox_at(connection: Connection, key: UUID) -> Mailbox:
    """The address, and of its owner, who may have another one by now, or have been merged, their present one."""
    known = select(customer_address.c.customer_id).where(customer_address.c.address_key == key)
    whose = select(customer.c.id, customer.c.address_key).where(
        (customer.c.address_key == key) | customer.c.id.in_(known)
    )
    same = customer.c.address_key == key
    row = connection.execute(whose.order_by(same.desc().nulls_last(), customer.c.id).limit(1)).one_or_none()
    return Mailbox((key,), None) if row is None else Mailbox(_distinct(key, row.address_key), row.id)


def mailbox_of(connection: Connection, message_id: int) -> Mailbox | None:
    """The address a message went to, and its recipient's present one; None: it went nowhere."""
    whose = select(message.c.address_key, customer.c.address_key.label("present"), customer.c.id)
    joined = whose.outerjoin_from(message, customer, customer.c.id == message.c.customer_id)
    row = connection.execute(joined.where(message.c.id == message_id)).one_or_none()
    if row is None or row.address_key is None:
        return None
    return Mailbox(_distinct(row.address_key, row.present), row.id)


def _distinct(*keys: UUID | None) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def _person(row: Any) -> Person | None:
    if row is None or row.address_key is None or row.email is None:
        return None
    return Person(row.id, row.address_key, row.email, row.language, row.country)
