"""Finding the person an operator names: by external id or by e-mail address."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from core import schema
from core.addresses import parse_address
from core.errors import NotFound
from core.ids import address_key


@dataclass(frozen=True, slots=True)
class Person:
    """A customer, or an address nobody is known at (`customer_id` None then)."""

    shown: str  # the external id, or the address as it was given
    customer_id: int | None
    key: UUID | None


def find_people(connection: Connection, secret: bytes, named: str) -> Sequence[Person]:
    """Everybody `named` means: the customer with this external id, or all customers at this address, or, when there
    are none, the address alone. The former external ids and addresses of merged customers mean who they became.

    Raises:
        NotFound: there is no such external id.
        AddressError: what looks like an address is none.
    """
    customer, alias, address = schema.customer, schema.customer_alias, schema.customer_address
    key = address_key(secret, parse_address(named).comparable) if "@" in named else None
    if key is None:
        former = select(alias.c.customer_id).where(alias.c.external_id == named)
        ways = [customer.c.external_id == named, customer.c.id.in_(former)]
    else:
        former = select(address.c.customer_id).where(address.c.address_key == key)
        ways = [customer.c.address_key == key, customer.c.id.in_(former)]
    columns = select(customer.c.external_id, customer.c.id, customer.c.address_key).order_by(customer.c.external_id)
    for way in ways:
        if found := [Person(*row) for row in connection.execute(columns.where(way))]:
            return found
    if key is None:
        raise NotFound(f"no customer has the external id {named!r}", hint="give an external id or an e-mail address")
    return [Person(named, None, key)]


def keys_of(connection: Connection, secret: bytes, named: str) -> list[UUID]:
    """The address keys of the person named: of the address that is given, and of where its people are written to now.

    Raises:
        NotFound: nobody has this external id, or the customer has no address.
        AddressError: what looks like an address is none.
    """
    given = [address_key(secret, parse_address(named).comparable)] if "@" in named else []
    keys = [*given, *(person.key for person in find_people(connection, secret, named) if person.key is not None)]
    if not keys:
        raise NotFound(f"the customer {named!r} has no e-mail address", hint="there is nothing to suppress")
    return list(dict.fromkeys(keys))
