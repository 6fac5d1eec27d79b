"""Everything the language can ask about one customer, as plain values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Text, cast, column, select, table

from core import schema
from segments.fields import FIELDS
from segments.tree import Constant


@dataclass(frozen=True, slots=True)
class PurchaseLine:
    order_id: str
    ordered_at: datetime
    product: str | None
    category: str | None
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Activity:
    name: str
    occurred_at: datetime
    value: Decimal | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    campaign: str
    state: str
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Hit:
    campaign: str
    kind: str
    label: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Conversion:
    campaign: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    id: int
    topic: str
    channel: str
    state: str
    captured_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Suppression:
    scope: str
    scope_name: str
    channel: str
    expires_at: datetime | None
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Facts:
    """One customer. `fields` by the language's names; a name that is absent or None is missing."""

    fields: Mapping[str, Constant | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    purchases: Sequence[PurchaseLine] = ()
    activities: Sequence[Activity] = ()
    messages: Sequence[Message] = ()
    hits: Sequence[Hit] = ()
    conversions: Sequence[Conversion] = ()
    consents: Sequence[Consent] = ()
    suppressions: Sequence[Suppression] = ()


RowT = TypeVar("RowT")


def facts_of(connection: Connection, customer_id: int) -> Facts:
    """The facts about one customer.

    Raises:
        NoResultFound: there is no such customer.
    """
    customer, metrics = schema.customer, schema.customer_metrics
    row = (
        connection.execute(
            select(
                customer,
                *(metrics.c[f.column].label(f.name) for f in FIELDS.values() if f.table != "customer"),
            )
            .add_columns(cast(customer.c.attributes, Text).label("attributes_json"))
            .outerjoin_from(customer, metrics, metrics.c.customer_id == customer.c.id)
            .where(customer.c.id == customer_id)
        )
        .mappings()
        .one()
    )

    def found(kind: type[RowT], query: Select[Any]) -> list[RowT]:
        return [kind(**values) for values in connection.execute(query).mappings()]

    return Facts(
        {name: row[name] for name in FIELDS if name != "recency_days"},
        json.loads(row["attributes_json"], parse_float=Decimal),
        found(PurchaseLine, _of(schema.purchase, PurchaseLine, customer_id)),
        [_activity(values) for values in connection.execute(_activities(customer_id)).mappings()],
        found(Message, _of(schema.message, Message, customer_id)),
        found(Hit, _hits(customer_id)),
        found(Conversion, _conversions(customer_id)),
        found(Consent, _of(schema.consent, Consent, customer_id)),
        found(Suppression, _suppressions(customer_id)),
    )


def _of(source: Any, kind: type[Any], customer_id: int) -> Select[Any]:
    columns = (source.c[name] for name in kind.__dataclass_fields__)
    return select(*columns).where(source.c.customer_id == customer_id)


def _activities(customer_id: int) -> Select[Any]:
    activity = schema.activity.c
    return select(
        activity.name,
        activity.occurred_at,
        activity.value,
        cast(activity.properties, Text).label("properties"),
    ).where(activity.customer_id == customer_id)


def _activity(values: Mapping[Any, Any]) -> Activity:
    properties = json.loads(values["properties"], parse_float=Decimal)
    return Activity(values["name"], values["occurred_at"], values["value"], properties)


def _hits(customer_id: int) -> Select[Any]:
    hit, message = schema.hit.c, schema.message.c
    return (
        select(message.campaign, hit.kind, hit.label, hit.occurred_at)
        .join_from(schema.hit, schema.message, message.id == hit.message_id)
        .where(message.customer_id == customer_id)
    )


def _conversions(customer_id: int) -> Select[Any]:
    conversion = table("conversion", column("customer_id"), column("campaign"), column("at"))
    return select(conversion.c.campaign, conversion.c.at).where(conversion.c.customer_id == customer_id)


def _suppressions(customer_id: int) -> Select[Any]:
    entry, customer = schema.suppression.c, schema.customer.c
    columns = (entry[name] for name in Suppression.__dataclass_fields__)
    return (
        select(*columns)
        .join_from(schema.suppression, schema.customer, customer.address_key == entry.address_key)
        .where(customer.id == customer_id)
    )
