"""Customers who come by themselves: known by their address, or new with nothing but it.

What somebody merely typed says nothing about a known customer, and is never put into a new one before its address is
proven: names come in afterwards, into empty fields alone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from core.addresses import Address

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: What people may tell of themselves when they join.
FIELDS: Final = ("first_name", "last_name", "company")


def customer_at(
    connection: "Connection", address: Address, key: UUID, *, language: str | None, source: str, now: datetime
) -> int | None:
    """The number of the oldest customer at the address, made when there is none; None: they were erased.

    A new one has the comparable address as external id, as an import of it would give. To be called while
    `core.people_lock.people_stay` holds, and by one at a time for an address.
    """
    from sqlalchemy import exists, func, insert, select

    from core.schema import customer, erasure

    was_erased = exists().where(erasure.c.address_key == key, erasure.c.readmitted_at.is_(None))
    oldest = select(func.min(customer.c.id)).where(customer.c.address_key == key).scalar_subquery()
    named = exists().where(customer.c.external_id == address.comparable)
    found = connection.execute(
        select(oldest.label("id"), was_erased.label("was_erased"), named.label("is_taken"))
    ).one()
    if found.id is not None:
        return int(found.id)
    if found.was_erased:
        return None
    name = f"{address.comparable} {uuid4()}" if found.is_taken else address.comparable
    values = {
        "external_id": name, "email": address.email, "address_key": key, "smtputf8": address.smtputf8,
        "language": language, "source": source, "created_at": now, "updated_at": now,
    }  # fmt: skip
    return int(connection.execute(insert(customer).values(**values).returning(customer.c.id)).scalar_one())


def fill_in(connection: "Connection", customer_id: int, told: Mapping[str, str], now: datetime) -> None:
    """What the customer told of themselves stands in the fields that were empty; others stay. Repeat: safe."""
    from sqlalchemy import func, update

    from core.schema import customer

    filled = {
        name: func.coalesce(func.nullif(func.btrim(customer.c[name]), ""), told[name])
        for name in FIELDS if told.get(name)
    }  # fmt: skip
    if filled:
        connection.execute(update(customer).where(customer.c.id == customer_id).values(**filled, updated_at=now))
