"""Who a key means: an external id, else an e-mail address."""

from typing import TYPE_CHECKING, Any

from core.addresses import parse_address
from core.errors import AddressError
from core.ids import AddressKey, address_key

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


def find_customer(connection: "Connection", key: str, secret: bytes) -> "RowMapping | None":
    """The row of table `customer` that `key` means; None when there is none.

    By external id, or that of a customer who was merged into this one; else the oldest one whose address it is; else
    the oldest one whose address it was.
    """
    from sqlalchemy import select

    from core.schema import customer, customer_address, customer_alias

    alias = select(customer_alias.c.customer_id).where(customer_alias.c.external_id == key)
    ways = [customer.c.external_id == key, customer.c.id.in_(alias)]
    if (hashed := key_of_address(key, secret)) is not None:
        former = select(customer_address.c.customer_id).where(customer_address.c.address_key == hashed)
        ways += [customer.c.address_key == hashed, customer.c.id.in_(former)]
    for way in ways:
        row = connection.execute(select(customer).where(way).order_by(customer.c.id).limit(1)).mappings().first()
        if row is not None:
            return row
    return None


def key_of_address(text: str, secret: bytes) -> AddressKey | None:
    """The key of the mailbox `text` names; None when it is not an address."""
    try:
        return address_key(secret, parse_address(text).comparable)
    except AddressError:
        return None


def shown_name(row: Any) -> str:
    """The customer as people are named: first and last name, else company, else external id."""
    person = " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    return person or row["company"] or row["external_id"]
