"""The customers of a segment as the commands show them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Text, cast, func, select

from core import schema
from core.addresses import parse_address
from core.errors import AddressError, NotFound
from core.ids import address_key
from segments.fields import PYRAMID_LEVELS
from segments.membership import Rule
from segments.to_sql import customer_ids


def count_by_tier(connection: Connection, rule: Rule, *, now: datetime) -> dict[str, int]:
    """The rule's customers by level of the pyramid, the highest first; `unranked`: without metrics so far."""
    members = customer_ids(rule.condition, rule.segments, now=now).subquery()
    metrics = schema.customer_metrics
    rows = connection.execute(
        select(metrics.c.pyramid, func.count())
        .select_from(members)
        .outerjoin(metrics, metrics.c.customer_id == members.c.customer_id)
        .group_by(metrics.c.pyramid)
    )
    counted = {tier or "unranked": number for tier, number in rows}
    order = {tier: place for place, tier in enumerate(PYRAMID_LEVELS)}
    return dict(sorted(counted.items(), key=lambda item: order.get(item[0], len(order))))


def sample_customers(connection: Connection, members: Select[tuple[int]], number: int) -> list[dict[str, Any]]:
    """Up to `number` of the members, spread evenly, the same ones for the same members."""
    customer, metrics, chosen = schema.customer, schema.customer_metrics, members.subquery()
    rows = connection.execute(
        select(customer.c.external_id, customer.c.first_name, customer.c.last_name, customer.c.company)
        .add_columns(metrics.c.pyramid.label("tier"))
        .select_from(chosen)
        .join(customer, customer.c.id == chosen.c.customer_id)
        .outerjoin(metrics, metrics.c.customer_id == customer.c.id)
        .order_by(func.md5(cast(customer.c.id, Text)))
        .limit(number)
    )
    return [
        {
            "external_id": row.external_id,
            "name": " ".join(part for part in (row.first_name, row.last_name) if part) or None,
            "company": row.company,
            "tier": row.tier,
        }
        for row in rows
    ]


def find_customer(connection: Connection, key: str, secret: bytes) -> int:
    """The id of the customer with that external id, or else with that e-mail address.

    Raises:
        NotFound: there is none, or several share the address.
    """
    customer = schema.customer.c
    by_id = connection.execute(select(customer.id).where(customer.external_id == key)).scalar()
    if by_id is not None:
        return int(by_id)
    try:
        wanted = address_key(secret, parse_address(key).comparable)
    except AddressError:
        raise NotFound(f"no customer has the external id {key!r}") from None
    found = connection.execute(
        select(customer.id, customer.external_id).where(customer.address_key == wanted).limit(9)
    ).all()
    if not found:
        raise NotFound(f"no customer has the address {key!r}")
    if len(found) > 1:
        hint = f"name one of them: {', '.join(sorted(row.external_id for row in found))}"
        raise NotFound(f"several customers have the address {key!r}", hint=hint)
    return int(found[0].id)
