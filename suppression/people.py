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
    are none, the address alone.

    Raises:
        NotFound: there is no such external id.
        AddressError: what looks like an address is none.
    """
    customer = schema.customer
    if "@" not in named:
        condition = customer.c.external_id == named
    else:
        key = address_key(secret, parse_address(named).comparable)
        condition = customer.c.address_key == key
    columns = select(customer.c.external_id, customer.c.id, customer.c.address_key).order_by(customer.c.external_id)
    found = [Person(*row) for row in connection.execute(columns.where(condition))]
    if not found and "@" not in named:
        raise NotFound(f"no customer has the external id {named!r}", hint="give an external id or an e-mail address")
    return found or [Person(named, None, key)]


def key_of(connection: Connection, secret: bytes, named: str) -> UUID:
    """The address key of the person named.

    Raises:
        NotFound: nobody has this external id, or the customer has no address.
        AddressError: what looks like an address is none.
    """
    key = find_people(connection, secret, named)[0].key
    if key is None:
        raise NotFound(f"the customer {named!r} has no e-mail address", hint="there is nothing to suppress")
    return key
