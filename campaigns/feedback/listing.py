"""What came back, as people are shown it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, cast, func, select

from campaigns.feedback.gmail import PREFIX
from campaigns.feedback.records import UNPROVEN
from core.schema import customer, feedback, message, volume


def events(
    connection: Connection, *, key: UUID | None = None, kind: str | None = None, most: int = 100
) -> Sequence[Mapping[str, Any]]:
    """The latest events, of one address or all, of one kind or all: one row each, the newest first.

    `counts`: something may follow from it. `effect`: what did, in words.
    """
    query = (
        select(
            feedback.c.occurred_at, feedback.c.kind, feedback.c.source, customer.c.external_id.label("customer"),
            message.c.campaign, feedback.c.message_id.label("message"), feedback.c.matched_by, feedback.c.status,
            (~feedback.c.detail.has_key(UNPROVEN)).label("counts"), feedback.c.pending, feedback.c.effect,
            feedback.c.diagnostic, feedback.c.recorded_at,
        )
        .outerjoin(customer, customer.c.id == feedback.c.customer_id)
        .outerjoin(message, message.c.id == feedback.c.message_id)
    )  # fmt: skip
    for column, wanted in ((feedback.c.address_key, key), (feedback.c.kind, kind)):
        query = query if wanted is None else query.where(column == wanted)
    return [dict(row) for row in connection.execute(query.order_by(feedback.c.id.desc()).limit(most)).mappings()]


def counts(connection: Connection, *, since: datetime) -> Sequence[Mapping[str, Any]]:
    """How many events of each source and kind came in since then, and how many of them nobody vouched for."""
    unproven = cast(feedback.c.detail.has_key(UNPROVEN), Integer)
    query = (
        select(feedback.c.source, feedback.c.kind, func.count().label("events"), func.sum(unproven).label("unproven"))
        .where(feedback.c.recorded_at >= since)
        .group_by(feedback.c.source, feedback.c.kind)
        .order_by(feedback.c.source, func.count().desc(), feedback.c.kind)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def to_gmail(connection: Connection, *, since: date) -> Sequence[Mapping[str, Any]]:
    """Messages to private Gmail addresses by primary domain and day, as they were counted last, the newest first."""
    query = select(volume).where(volume.c.key.startswith(PREFIX), volume.c.day >= since)
    rows = connection.execute(query.order_by(volume.c.day.desc(), volume.c.key)).all()
    return [
        {"sender_domain": row.key.removeprefix(PREFIX), "day": row.day, "messages": row.message_count} for row in rows
    ]
