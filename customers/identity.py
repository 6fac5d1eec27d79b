"""Who a key means: an external id, else an e-mail address."""

from typing import TYPE_CHECKING, Any

from core.addresses import parse_address
from core.errors import AddressError
from core.ids import AddressKey, address_key

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


def find_customer(connection: "Connection", key: str, secret: bytes) -> "RowMapping | None":
    """The row of table `customer` whose external id is `key`, else the oldest one whose address it is; None when
    there is none."""
    from sqlalchemy import select

    from core.schema import customer

    wanted = select(customer).where(customer.c.external_id == key)
    if (row := connection.execute(wanted).mappings().first()) is not None:
        return row
    hashed = key_of_address(key, secret)
    if hashed is None:
        return None
    by_address = select(customer).where(customer.c.address_key == hashed).order_by(customer.c.id).limit(1)
    return connection.execute(by_address).mappings().first()


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
