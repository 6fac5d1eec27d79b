"""What customers did and bought, in SQL: one correlated subquery for each condition.

Each reads the rows of one customer by index (`ix_activity_customer_id_name_occurred_at`,
`ix_purchase_customer_id_ordered_at`).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    distinct,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from core import schema
from segments.functions import PURCHASE
from segments.json_values import json_column
from segments.tree import Behaviour, Constant, Measure, Measured, Range, Since, Type


class Moments:
    """Instants as bound parameters: now, and times before it.

    They are reckoned here and not in SQL, where "30 days" depends on the session's time zone.
    """

    def __init__(self, now: datetime, begun: Mapping[Since, ColumnElement[datetime]] | None = None) -> None:
        """`begun`: when the passage began that is asked about, and when it came to its step."""
        self._now = now
        self._begun = begun or {}
        self._ago: dict[timedelta, ColumnElement[datetime]] = {}

    @cached_property
    def now(self) -> ColumnElement[datetime]:
        return literal(self._now, DateTime(timezone=True))

    def ago(self, length: timedelta) -> ColumnElement[datetime]:
        """The instant that lies `length` before now."""
        if length not in self._ago:
            self._ago[length] = literal(self._now - length, DateTime(timezone=True))
        return self._ago[length]

    def span(
        self, at: ColumnElement[Any], within: timedelta | None, before: timedelta | None = None
    ) -> list[ColumnElement[bool]]:
        """`at` lies in [now - within, now - before), and not after now."""
        conditions = [at < self.ago(before) if before is not None else at <= self.now]
        return [*conditions, at >= self.ago(within)] if within is not None else conditions

    def of(self, behaviour: Behaviour, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """`at` lies where the behaviour is to lie."""
        conditions = self.span(at, behaviour.within, behaviour.before)
        return [*conditions, at >= self._begun[behaviour.since]] if behaviour.since is not None else conditions


def did(behaviour: Behaviour, customer: FromClause, moments: Moments) -> ColumnElement[bool]:
    """Whether there is one such activity or order."""
    find = _bought if behaviour.name == PURCHASE else _activities
    return exists(find(behaviour, customer, moments))


def measured(value: Measured, customer: FromClause, moments: Moments) -> ColumnElement[Any]:
    """How often, the sum, when last, or the last value; the first two are 0 for never, the others NULL."""
    find = _purchase_measure if value.behaviour.name == PURCHASE else _activity_measure
    return find(value.measure, value.behaviour, customer, moments)


# --- activities --------------------------------------------------------------------------------------


def _activities(behaviour: Behaviour, customer: FromClause, moments: Moments) -> Select[Any]:
    activity = schema.activity.c
    properties = (_one_of_json(activity.properties, key, values) for key, values in behaviour.where)
    return (
        select(literal_column("1"))
        .select_from(schema.activity)
        .where(activity.customer_id == customer.c.id, activity.name == literal(behaviour.name, Text))
        .where(*moments.of(behaviour, activity.occurred_at), *properties)
        .correlate(customer)
    )


def _activity_measure(
    measure: Measure, behaviour: Behaviour, customer: FromClause, moments: Moments
) -> ColumnElement[Any]:
    activity = schema.activity.c
    if measure is Measure.LATEST:
        valued = _activities(behaviour, customer, moments).where(activity.value.is_not(None))
        last = valued.with_only_columns(activity.value).order_by(activity.occurred_at.desc(), activity.value.desc())
        return last.limit(1).scalar_subquery()
    measures: dict[Measure, ColumnElement[Any]] = {
        Measure.COUNT: func.count(),
        Measure.TOTAL: func.coalesce(func.sum(activity.value), literal_column("0", Numeric)),
        Measure.LAST: func.max(activity.occurred_at),
    }
    return _activities(behaviour, customer, moments).with_only_columns(measures[measure]).scalar_subquery()


def _one_of_json(column: ColumnElement[Any], key: str, values: tuple[Constant | Range, ...]) -> ColumnElement[bool]:
    return or_(*(_is_json(column, key, value) for value in values))


def _is_json(column: ColumnElement[Any], key: str, value: Constant | Range) -> ColumnElement[bool]:
    if not isinstance(value, Range):
        return json_column(column, key, _json_type(value)) == _literal(value)
    number = json_column(column, key, Type.NUMBER)
    ends = [number >= _literal(value.lowest)] if value.lowest is not None else []
    return and_(*ends, *([number <= _literal(value.highest)] if value.highest is not None else []))


def _json_type(value: Constant) -> Type:
    if isinstance(value, bool):
        return Type.FLAG
    return Type.TEXT if isinstance(value, str) else Type.NUMBER


def _literal(value: Constant) -> ColumnElement[Any]:
    if isinstance(value, bool):
        return literal_column("true" if value else "false")
    return literal(value, Text) if isinstance(value, str) else literal(value, Numeric)


# --- orders --------------------------------------------------------------------------------------------


def _lines(behaviour: Behaviour, customer: FromClause, moments: Moments) -> Select[Any]:
    """The purchase lines of one customer that are meant."""
    purchase = schema.purchase.c
    properties = (purchase[key].in_([literal(value, Text) for value in values]) for key, values in behaviour.where)
    return (
        select(literal_column("1"))
        .select_from(schema.purchase)
        .where(purchase.customer_id == customer.c.id)
        .where(*moments.of(behaviour, purchase.ordered_at), *properties)
        .correlate(customer)
    )


def _bought(behaviour: Behaviour, customer: FromClause, moments: Moments) -> Select[Any]:
    """The lines that make an order one, as the metrics count orders: returns alone are none."""
    purchase = schema.purchase.c
    zero: ColumnElement[Any] = literal_column("0")
    return _lines(behaviour, customer, moments).where(purchase.quantity > zero, purchase.amount >= zero)


def _purchase_measure(
    measure: Measure, behaviour: Behaviour, customer: FromClause, moments: Moments
) -> ColumnElement[Any]:
    purchase = schema.purchase.c
    if measure is Measure.TOTAL:  # returns are taken off
        total = func.coalesce(func.sum(purchase.amount), literal_column("0", Numeric))
        return _lines(behaviour, customer, moments).with_only_columns(total).scalar_subquery()
    wanted = func.count(distinct(purchase.order_id)) if measure is Measure.COUNT else func.max(purchase.ordered_at)
    return _bought(behaviour, customer, moments).with_only_columns(wanted).scalar_subquery()
