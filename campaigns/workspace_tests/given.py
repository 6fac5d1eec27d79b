"""The people of a test, put into its empty world before the clock starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from campaigns.workspace_tests.definition import Bought, Consented, Customer, Did
from core.addresses import Address, parse_address
from core.ids import address_key
from core.schema import activity, consent, customer, customer_metrics, purchase
from core.workspace import Workspace
from customers import metrics
from suppression.record import suppress

#: Words about topics that have no time of their own were said so long before the clock.
_LONG_AGO: Final = timedelta(days=365)
_SOURCE: Final = "test"
#: Columns of a customer that a test sets and changes.
COLUMNS: Final = (
    "first_name", "last_name", "company", "phone", "country", "language", "zone", "owner", "person", "household",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a case plays."""

    connection: Connection
    workspace: Workspace
    zone: str  # of times that name no place


def add_people(place: Place, people: Mapping[str, Customer], now: datetime) -> dict[str, int]:
    """They are there, as they were before the clock; their numbers by name."""
    numbers = {name: _add(place, name, person, now) for name, person in people.items()}
    rank(place, people, now)
    return numbers


def email_of(name: str, person: Customer) -> Address | None:
    """The customer's address; None: they have none.

    Raises:
        AddressError: it is none.
    """
    text = f"{name}@customers.example" if person.email is None else person.email
    return parse_address(text) if text else None


def _add(place: Place, name: str, person: Customer, now: datetime) -> int:
    address = email_of(name, person)
    values: dict[str, Any] = {column: getattr(person, column) for column in COLUMNS}
    values |= {"external_id": name, "attributes": dict(person.attributes), "source": _SOURCE}
    values |= {"created_at": now, "updated_at": now}
    if address is not None:
        key = address_key(place.workspace.secret, address.comparable)
        values |= {"email": address.email, "address_key": key, "smtputf8": address.smtputf8}
    number = int(place.connection.execute(insert(customer).values(values).returning(customer.c.id)).scalar_one())
    for word in person.consents:
        agree(place, number, word if isinstance(word, Consented) else Consented(topic=word), now - _LONG_AGO)
    for bought in person.purchases:
        buy(place, number, bought)
    for did in person.activities:
        do(place, number, did)
    if address is not None:
        for entry in person.suppressions:
            suppress(
                place.connection, values["address_key"], scope=entry.scope, scope_name=entry.name, reason=entry.reason,
                source=_SOURCE, expires_at=entry.until.at(place.zone) if entry.until else None, now=now - _LONG_AGO,
            )  # fmt: skip
    return number


def agree(place: Place, number: int, word: Consented, at: datetime) -> None:
    """The word is on record, said at its own time or else at `at`."""
    values = {
        "customer_id": number, "channel": "email", "topic": word.topic, "state": word.state, "basis": word.basis,
        "source": _SOURCE, "captured_at": word.at.at(place.zone) if word.at else at,
    }  # fmt: skip
    place.connection.execute(insert(consent).values(values))


def buy(place: Place, number: int, bought: Bought) -> None:
    """The order is on record."""
    at = bought.at.at(place.zone)
    order = bought.order or f"T{number}-{at:%Y%m%d%H%M%S}-{bought.amount}"
    values = {
        "customer_id": number, "order_id": order, "line_key": "1", "ordered_at": at, "quantity": Decimal(1),
        "amount": bought.amount, "product": bought.product, "category": bought.category,
        "currency": bought.currency or place.workspace.settings.tiers.currency,
    }  # fmt: skip
    place.connection.execute(insert(purchase).values(values))


def do(place: Place, number: int, did: Did) -> None:
    """The activity is on record."""
    at = did.at.at(place.zone)
    count = len(place.connection.execute(select(activity.c.id).where(activity.c.customer_id == number)).all())
    values = {
        "customer_id": number, "name": did.name, "occurred_at": at, "properties": dict(did.properties),
        "value": did.value, "source": _SOURCE, "event_key": f"test:{number}:{count}",
    }  # fmt: skip
    place.connection.execute(insert(activity).values(values))


def rank(place: Place, people: Mapping[str, Customer], now: datetime) -> None:
    """Everybody's metrics are as of `now`, with the levels that the file gives them."""
    metrics.refresh(place.connection, place.workspace.settings.tiers, now=now)
    for name, person in people.items():
        levels = {"pyramid": person.tier, "abc": person.abc, "rfm": person.rfm, "quadrant": person.quadrant}
        given = {level: value for level, value in levels.items() if value is not None}
        if given:
            mine = select(customer.c.id).where(customer.c.external_id == name).scalar_subquery()
            row = update(customer_metrics).where(customer_metrics.c.customer_id == mine)
            place.connection.execute(row.values(given))
