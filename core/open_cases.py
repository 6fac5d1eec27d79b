"""Which cases of somebody are open, such as a complaint or a ticket: promotions wait for them, and people look at them.

A case is a human being's: that of every customer of the same `person` or at the same address.
"""

from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Interval,
    Select,
    Text,
    and_,
    func,
    literal,
    null,
    or_,
    select,
    true,
)

from core import schema

#: A moment, or a parameter of a statement that is compiled once and asked many times.
Instant = datetime | BindParameter[datetime]


class Rules(Protocol):
    """What opens and closes a case, as `core.care_settings.Cases` says it."""

    @property
    def opened_by(self) -> tuple[str, ...]: ...
    @property
    def closed_by(self) -> tuple[str, ...]: ...
    @property
    def same(self) -> str | None: ...
    @property
    def forgotten_after(self) -> timedelta | None: ...


def one_person(me: FromClause, peer: FromClause) -> ColumnElement[bool]:
    """SQL: two rows of customer are one human being."""
    return or_(peer.c.id == me.c.id, peer.c.person == me.c.person, peer.c.address_key == me.c.address_key)


def open_cases(customer_id: Any, rules: Rules, now: Instant) -> Select[Any]:
    """SQL: the cases of the customer that are open at `now`, the oldest first: `name opened_at case`."""
    me, peer = schema.customer.alias("me"), schema.customer.alias("case_peer")
    opened = schema.activity.alias("opened")
    begun = opened.c.occurred_at <= now
    if rules.forgotten_after is not None:
        begun = and_(begun, opened.c.occurred_at > _before(now, rules.forgotten_after))
    named = null() if rules.same is None else opened.c.properties[rules.same].astext
    found = (
        select(opened.c.name, opened.c.occurred_at.label("opened_at"), named.cast(Text).label("case"))
        .select_from(me)
        .join(peer, one_person(me, peer))
        .join(opened, opened.c.customer_id == peer.c.id)
        .where(me.c.id == customer_id, opened.c.name.in_(rules.opened_by), begun, ~_closed(opened, rules, now))
        .order_by(opened.c.occurred_at)
    )
    return found.correlate_except(me, peer, opened)


def open_case_since(customer_id: Any, rules: Rules, now: Instant) -> ColumnElement[datetime | None]:
    """SQL: when the customer's oldest case that is open at `now` was opened; NULL when none is."""
    cases = open_cases(customer_id, rules, now)
    return cases.with_only_columns(cases.selected_columns.opened_at).limit(1).scalar_subquery()


def last_closed(customer_id: Any, rules: Rules, now: Instant) -> ColumnElement[datetime | None]:
    """SQL: when a case of the customer was last closed, up to `now`; NULL when none ever was."""
    me, peer = schema.customer.alias("me"), schema.customer.alias("case_peer")
    closed = schema.activity.alias("closed")
    found = (
        select(func.max(closed.c.occurred_at))
        .select_from(me)
        .join(peer, one_person(me, peer))
        .join(closed, closed.c.customer_id == peer.c.id)
        .where(me.c.id == customer_id, closed.c.name.in_(rules.closed_by), closed.c.occurred_at <= now)
    )
    return found.correlate_except(me, peer, closed).scalar_subquery()


def _before(now: Instant, length: timedelta) -> Any:
    return now - length if isinstance(now, datetime) else now - literal(length, Interval)


def _closed(opened: FromClause, rules: Rules, now: Instant) -> ColumnElement[bool]:
    """The case was closed after it was opened, with the customer it was opened with."""
    closed = schema.activity.alias("closed")
    same: ColumnElement[bool] = true()
    if rules.same is not None:
        names = [row.c.properties[rules.same].astext for row in (opened, closed)]
        same = names[0].is_not_distinct_from(names[1])
    return (
        select(closed.c.id)
        .where(
            closed.c.customer_id == opened.c.customer_id, closed.c.name.in_(rules.closed_by),
            closed.c.occurred_at >= opened.c.occurred_at, closed.c.occurred_at <= now, same,
        )
        .exists()
    )  # fmt: skip
