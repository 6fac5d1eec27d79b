"""Who a request is about: everything in the database that is one person."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, any_, literal, or_, select, types
from sqlalchemy.dialects.postgresql import ARRAY

from core.addresses import parse_address
from core.arrays import among
from core.errors import NotFound
from core.ids import address_key
from core.schema import customer, customer_address, customer_alias, message
from customers.identity import find_customer, key_of_address

EachT = TypeVar("EachT")


@dataclass(frozen=True, slots=True)
class Subject:
    """One person: the customers who share an address or the column `person`, and the address nobody has any more.

    `messages` are those sent to them, and those to their addresses that belong to no customer.
    """

    customers: tuple[int, ...]
    external_ids: tuple[str, ...]
    keys: tuple[UUID, ...]
    emails: tuple[str, ...]
    names: tuple[str, ...] = ()  # first, last and company names, telephone numbers
    messages: tuple[int, ...] = ()

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Their addresses as hashed do-not-contact lists name them: MD5 and SHA-256, in small letters."""
        spelled = sorted({form for email in self.emails for form in (email.lower(), parse_address(email).comparable)})
        made = [(hashlib.md5(one.encode(), usedforsecurity=False), hashlib.sha256(one.encode())) for one in spelled]
        return tuple(digest.digest() for pair in made for digest in pair)


def subject_of(connection: Connection, customer_id: int, *, lock: bool = False) -> Subject:
    """The person the customer is. `lock`: the customers cannot be changed or referred to until the transaction ends.

    Raises:
        NotFound: there is no such customer.
    """
    ids = _circle(connection, customer_id)
    query = select(customer).where(among(customer.c.id, ids)).order_by(customer.c.id)
    rows = connection.execute(query.with_for_update() if lock else query).mappings().all()
    if customer_id not in {row["id"] for row in rows}:
        raise NotFound(f"there is no customer with the number {customer_id}")
    aliases = select(customer_alias.c.external_id).where(among(customer_alias.c.customer_id, ids))
    former = select(customer_address.c.address_key, customer_address.c.email)
    others = connection.execute(former.where(among(customer_address.c.customer_id, ids))).all()
    keys = _distinct([row["address_key"] for row in rows] + [row.address_key for row in others])
    return Subject(
        customers=tuple(row["id"] for row in rows),
        external_ids=_distinct([row["external_id"] for row in rows] + list(connection.execute(aliases).scalars())),
        keys=keys,
        emails=_distinct([row["email"] for row in rows] + [row.email for row in others]),
        names=_distinct(row[name] for row in rows for name in ("first_name", "last_name", "company", "phone")),
        messages=_messages(connection, ids, keys),
    )


def subject_of_address(connection: Connection, secret: bytes, email: str) -> Subject:
    """The person at an address, known as a customer or not.

    Raises:
        AddressError: it is not an address.
    """
    row = find_customer(connection, email, secret)
    if row is not None:
        return subject_of(connection, row["id"])
    address = parse_address(email)
    key = address_key(secret, address.comparable)
    emails = _distinct([address.email, address.comparable])
    return Subject((), (address.comparable,), (key,), emails, (), _messages(connection, (), (key,)))


def subject_of_keys(connection: Connection, keys: Sequence[UUID]) -> Subject:
    """Those of whom nothing but the keyed hashes of their addresses is known."""
    return Subject((), (), tuple(keys), (), (), _messages(connection, (), keys))


def subject_named(connection: Connection, secret: bytes, named: str) -> Subject:
    """The person an external id or an e-mail address means.

    Raises:
        NotFound: nobody has this external id.
    """
    row = find_customer(connection, named, secret)
    if row is not None:
        return subject_of(connection, row["id"])
    if key_of_address(named, secret) is None:
        raise NotFound(f"there is no customer {named!r}", hint="give the external id or the e-mail address")
    return subject_of_address(connection, secret, named)


def _circle(connection: Connection, customer_id: int) -> tuple[int, ...]:
    """The customers who are one person with this one, directly or by others among them."""
    found: set[int] = {customer_id}
    while True:
        known = select(customer.c.address_key, customer.c.person).where(among(customer.c.id, sorted(found)))
        rows = connection.execute(known).all()
        same = or_(
            of_keys(customer.c.address_key, [row.address_key for row in rows if row.address_key]),
            customer.c.person == any_(literal([row.person for row in rows if row.person], ARRAY(types.Text))),
        )
        wider = found | set(connection.execute(select(customer.c.id).where(same)).scalars())
        if wider == found:
            return tuple(sorted(found))
        found = wider


def _messages(connection: Connection, ids: Iterable[int], keys: Iterable[UUID]) -> tuple[int, ...]:
    theirs = select(message.c.id).where(among(message.c.customer_id, ids))
    nobodys = select(message.c.id).where(and_(message.c.customer_id.is_(None), of_keys(message.c.address_key, keys)))
    return tuple(sorted({*connection.execute(theirs).scalars(), *connection.execute(nobodys).scalars()}))


def of_keys(column: ColumnElement[UUID], keys: Iterable[UUID]) -> ColumnElement[bool]:
    """SQL: the column is one of `keys`."""
    return column == any_(literal(list(keys), ARRAY(types.UUID)))


def _distinct(values: Iterable[EachT | None]) -> tuple[EachT, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
