"""Who a request is about: everything in the database that is one person."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, any_, func, literal, or_, select, types
from sqlalchemy.dialects.postgresql import ARRAY

from core.addresses import parse_address
from core.arrays import among
from core.errors import AddressError, NotFound
from core.ids import address_key
from core.schema import customer, customer_address, customer_alias, message
from customers.identity import find_customer

EachT = TypeVar("EachT")


#: More customers are hardly one person: somebody looks before they are given out or erased.
WIDE: Final = 8


class Circle(StrEnum):
    """Which customers are one person with the one who was named. Nobody is reached by way of another of them."""

    PERSON = "person"  #: at the same address, or with the same `person`: for an operator, who can look
    ADDRESS = "address"  #: at the same address: for whoever has proven that they read its mail
    ALONE = "alone"  #: none


@dataclass(frozen=True, slots=True)
class Subject:
    """One person: the customers who were found to be one, and the address nobody has any more.

    `keys` and `own_emails` are those of their addresses, present and former, that are nobody else's by now; `emails`
    are all of them. `messages` are those sent to them, and those to `keys` that belong to no customer. `others`
    counts customers of the same `person` who are left aside.
    """

    customers: tuple[int, ...]
    external_ids: tuple[str, ...]
    keys: tuple[UUID, ...]
    emails: tuple[str, ...]
    names: tuple[str, ...] = ()  # first, last and company names, telephone numbers
    messages: tuple[int, ...] = ()
    own_emails: tuple[str, ...] = ()
    others: int = 0

    @property
    def is_wide(self) -> bool:
        """Whether these are more customers than one person has."""
        return len(self.customers) > WIDE

    @property
    def audited(self) -> tuple[str, ...]:
        """Whom a request was about, as the audit names them: the customers, else the addresses."""
        return tuple(f"customer:{number}" for number in self.customers) or tuple(f"address:{key}" for key in self.keys)

    @property
    def spellings(self) -> tuple[str, ...]:
        """The addresses that are theirs alone, as they were written and as they are compared."""
        return _distinct(form for email in self.own_emails for form in (email.lower(), _comparable(email)))

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Their addresses as hashed do-not-contact lists name them: MD5 and SHA-256, in small letters."""
        spelled = sorted(self.spellings)
        made = [(hashlib.md5(one.encode(), usedforsecurity=False), hashlib.sha256(one.encode())) for one in spelled]
        return tuple(digest.digest() for pair in made for digest in pair)


def _comparable(email: str) -> str | None:
    """None: it stands in the database, and is no address any more by the rules of today."""
    try:
        return parse_address(email).comparable
    except AddressError:
        return None


def subject_of(
    connection: Connection, customer_id: int, *, circle: Circle = Circle.PERSON, lock: bool = False
) -> Subject:
    """The person the customer is. `lock`: the customers cannot be changed or referred to until the transaction ends.

    Raises:
        NotFound: there is no such customer.
    """
    ids = _circle(connection, customer_id, circle)
    query = select(customer).where(among(customer.c.id, ids)).order_by(customer.c.id)
    rows = connection.execute(query.with_for_update() if lock else query).mappings().all()
    if customer_id not in {row["id"] for row in rows}:
        raise NotFound(f"there is no customer with the number {customer_id}")
    aliases = select(customer_alias.c.external_id).where(among(customer_alias.c.customer_id, ids))
    former = select(customer_address.c.address_key, customer_address.c.email)
    others = connection.execute(former.where(among(customer_address.c.customer_id, ids))).all()
    places = [(row["address_key"], row["email"]) for row in rows] + [(row.address_key, row.email) for row in others]
    taken = _of_others(connection, ids, [key for key, _ in places if key])
    keys = _distinct(key for key, _ in places if key not in taken)
    return Subject(
        customers=tuple(row["id"] for row in rows),
        external_ids=_distinct([row["external_id"] for row in rows] + list(connection.execute(aliases).scalars())),
        keys=keys,
        emails=_distinct(email for _, email in places),
        names=_distinct(row[name] for row in rows for name in ("first_name", "last_name", "company", "phone")),
        messages=_messages(connection, ids, keys),
        own_emails=_distinct(email for key, email in places if key not in taken),
        others=_left_aside(connection, rows),
    )


def _of_others(connection: Connection, ids: Sequence[int], keys: Iterable[UUID]) -> frozenset[UUID]:
    """Which of the addresses are those of other customers at present."""
    theirs = select(customer.c.address_key).where(of_keys(customer.c.address_key, keys), customer.c.id.not_in(ids))
    return frozenset(connection.execute(theirs).scalars())


def _left_aside(connection: Connection, rows: Sequence[RowMapping]) -> int:
    same = and_(
        customer.c.person == any_(literal([row["person"] for row in rows if row["person"]], ARRAY(types.Text))),
        customer.c.id.not_in([row["id"] for row in rows]),
    )
    return connection.execute(select(func.count()).select_from(customer).where(same)).scalar_one()


def subject_of_keys(connection: Connection, keys: Sequence[UUID]) -> Subject:
    """Those of whom nothing but the keyed hashes of their addresses is known."""
    return Subject((), (), tuple(keys), (), (), _messages(connection, (), keys))


def subject_named(connection: Connection, secret: bytes, named: str) -> Subject:
    """The person an external id or an e-mail address means, who may be no customer.

    Raises:
        NotFound: nobody has this external id.
    """
    row = find_customer(connection, named, secret)
    if row is not None:
        return subject_of(connection, row["id"])
    try:
        address = parse_address(named)
    except AddressError:
        hint = "give the external id or the e-mail address"
        raise NotFound(f"there is no customer {named!r}", hint=hint) from None
    keys, emails = (address_key(secret, address.comparable),), _distinct([address.email, address.comparable])
    return Subject((), (address.comparable,), keys, emails, (), _messages(connection, (), keys), emails)


def _circle(connection: Connection, customer_id: int, circle: Circle) -> tuple[int, ...]:
    mine = customer.alias("mine")
    same = or_(
        customer.c.id == mine.c.id,
        and_(customer.c.address_key == mine.c.address_key, literal(circle is not Circle.ALONE)),
        and_(customer.c.person == mine.c.person, literal(circle is Circle.PERSON)),
    )
    found = select(customer.c.id).join(mine, same).where(mine.c.id == customer_id).order_by(customer.c.id)
    return tuple(connection.execute(found).scalars())


def _messages(connection: Connection, ids: Iterable[int], keys: Iterable[UUID]) -> tuple[int, ...]:
    theirs = select(message.c.id).where(among(message.c.customer_id, ids))
    nobodys = select(message.c.id).where(and_(message.c.customer_id.is_(None), of_keys(message.c.address_key, keys)))
    return tuple(sorted({*connection.execute(theirs).scalars(), *connection.execute(nobodys).scalars()}))


def of_keys(column: ColumnElement[UUID], keys: Iterable[UUID]) -> ColumnElement[bool]:
    """SQL: the column is one of `keys`."""
    return column == any_(literal(list(keys), ARRAY(types.UUID)))


def _distinct(values: Iterable[EachT | None]) -> tuple[EachT, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
