"""Customers who come by themselves: known by their address, or new with nothing but it.

What somebody merely typed says nothing about a known customer, and is never put into a new one before its address is
proven: names come in afterwards, into empty fields alone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from core import advisory
from core.addresses import Address
from core.plain_text import one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection, ScalarSelect

#: Tables whose rows say more of somebody than that an address was typed into a form; which of their rows do.
TELLING: Final[Mapping[str, str]] = {
    "activity": "true", "customer_alias": "true", "purchase": "true", "preference": "true",
    "consent": "consent.state <> 'requested'", "sign_up": "sign_up.confirmed_at IS NOT NULL",
    "registration": "true",  # also one that was cancelled: it goes when the event is long past
    "survey_answer": "true", "enrolment": "true", "inquiry": "true", "task": "true",
    "webhook_call": "webhook_call.state IN ('planned', 'handed_over')",
    "staff_notice": "staff_notice.state IN ('planned', 'handed_over')",
}  # fmt: skip
#: Tables that name customers and say no more than the address does, each with the reason.
SILENT: Final[Mapping[str, str]] = {
    "customer_address": "addresses they had before: such a change is one of the customer, and is seen there",
    "customer_metrics": "counted from purchases and activities",
    "tier_change": "follows from what is counted",
    "message": "what was sent to them stays, without their name: the mail that asks for a confirmation is one",
    "feedback": "what their mail server said stays, without their name",
    "inbound_mail": "stays, without their name; what follows from it is an activity, a task or an inquiry",
    "rights_request": "stays, without their name: anybody can ask in somebody's",
}
#: Columns by which these tables name customers beside `customer_id`.
_ALSO: Final[Mapping[str, str]] = {"registration": "registrant_id"}


def _no_more_than(source: str, telling: Mapping[str, str]) -> str:
    rows = (
        f"SELECT FROM {table} WHERE {table}.{column} = customer.id AND {which}"
        for table, which in telling.items()
        for column in ("customer_id", *([_ALSO[table]] if table in _ALSO else []))
    )
    nothing = "".join(f"\n    AND NOT EXISTS ({row})" for row in rows)
    return f"coalesce(customer.source, '') LIKE '{source}:%' AND customer.updated_at = customer.created_at{nothing}\n"


#: SQL about a row of customer: all that is known is that somebody typed the address into a form.
STRANGER: Final = _no_more_than("form", TELLING)
#: … is that somebody asked something, which is gone: what the history has of it says no more.
INQUIRER: Final = _no_more_than("inquiry", {
    **TELLING, "activity": "activity.name NOT IN ('inquiry_received', 'inquiry_answered', 'inquiry_dropped')",
})  # fmt: skip
#: What people may tell of themselves when they join.
FIELDS: Final = ("first_name", "last_name", "company")


def customer_at(
    connection: "Connection", address: Address, key: UUID, *, language: str | None, source: str, now: datetime
) -> int | None:
    """The number of the oldest customer at the address, made when there is none; None: they were erased.

    A new one has the comparable address as external id, as an import of it would give. Where the address was that of a
    customer who was merged, both are of one `person`: what is proven is the mailbox, and what they said holds at both.
    To be called while `core.people_lock.people_stay` holds; whoever asks for the same address meanwhile waits.
    """
    from sqlalchemy import exists, func, insert, select

    from core.schema import customer, erasure

    advisory.hold(connection, f"customer at|{key}")
    was_erased = exists().where(erasure.c.address_key == key, erasure.c.readmitted_at.is_(None))
    oldest = select(func.min(customer.c.id)).where(customer.c.address_key == key).scalar_subquery()
    named = exists().where(customer.c.external_id == address.comparable)
    # In one statement, whoever it is: what a stranger can measure does not tell who is known.
    merged = _merged_into(key)
    found = connection.execute(
        select(oldest.label("id"), was_erased.label("was_erased"), named.label("is_taken"), merged.label("merged_into"))
    ).one()
    if found.id is not None:
        return int(found.id)
    if found.was_erased:
        return None
    name = f"{address.comparable} {uuid4()}" if found.is_taken else address.comparable
    values = {
        "external_id": name, "email": address.email, "address_key": key, "smtputf8": address.smtputf8,
        "language": language, "source": source, "created_at": now, "updated_at": now,
        "person": None if found.merged_into is None else _person_of(connection, found.merged_into, now),
    }  # fmt: skip
    return int(connection.execute(insert(customer).values(**values).returning(customer.c.id)).scalar_one())


def _merged_into(key: UUID) -> "ScalarSelect[int | None]":
    """SQL: the customer who took the address over by a merge; NULL: nobody did.

    An address that somebody merely gave up may be another's by now.
    """
    from sqlalchemy import func, select

    from core.schema import customer, customer_address, customer_alias

    taken_over = select(customer_address.c.customer_id).join(
        customer_alias,
        (customer_alias.c.customer_id == customer_address.c.customer_id)
        & (customer_alias.c.merged_at == customer_address.c.known_at),
    )
    heirs = taken_over.where(customer_address.c.address_key == key)
    return select(func.min(customer.c.id)).where(customer.c.id.in_(heirs)).scalar_subquery()


def _person_of(connection: "Connection", number: int, now: datetime) -> str | None:
    """The `person` of the customer, who has one from now on."""
    from sqlalchemy import select, update

    from core.schema import customer

    nameless = (customer.c.id == number) & customer.c.person.is_(None)
    connection.execute(update(customer).where(nameless).values(person=f"merged:{number}", updated_at=now))
    person: str | None = connection.execute(select(customer.c.person).where(customer.c.id == number)).scalar_one()
    return person


def fill_in(connection: "Connection", customer_id: int, told: Mapping[str, str], now: datetime) -> None:
    """What the customer told of themselves stands in the fields that were empty; others stay. Repeat: safe."""
    from sqlalchemy import func, update

    from core.schema import customer

    filled = {
        name: func.coalesce(func.nullif(func.btrim(customer.c[name]), ""), said)
        for name in FIELDS if (said := one_line(told.get(name, "")))
    }  # fmt: skip
    if filled:
        connection.execute(update(customer).where(customer.c.id == customer_id).values(**filled, updated_at=now))
