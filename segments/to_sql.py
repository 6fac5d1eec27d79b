"""A checked condition becomes one SELECT of customer ids; every value in it is a bound parameter.

SQL knows a third truth value, the language does not. Each condition is therefore written in two forms: an
SQL condition that is TRUE exactly where it holds, and one that is TRUE exactly where it does not; either may
be FALSE or NULL elsewhere. `not` picks the other form down to the leaves, so plain comparisons stay plain
(an index can serve them) and only negated ones are wrapped in IS NOT TRUE or NOT EXISTS.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    any_,
    exists,
    extract,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core import schema
from segments.behaviour_sql import Moments, did, measured
from segments.fields import FIELDS
from segments.history_sql import responded, subscribed
from segments.json_values import json_column, json_missing
from segments.tree import (
    All,
    Always,
    AnyOf,
    Attribute,
    Compare,
    Condition,
    Constant,
    Did,
    FieldValue,
    History,
    InSegment,
    Like,
    Measured,
    Missing,
    Newer,
    Not,
    Older,
    OneOf,
    Operator,
    Since,
    Subscribed,
    TextTest,
    Type,
    Value,
)

Truth = ColumnElement[bool]

_SQL_TYPES: Final[Mapping[Type, Any]] = {
    Type.TEXT: Text(),
    Type.NUMBER: Numeric(),
    Type.INSTANT: DateTime(timezone=True),
    Type.FLAG: Boolean(),
}
_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], Truth]]] = {
    Operator.EQUAL: lambda left, right: left == right,
    Operator.LESS: lambda left, right: left < right,
    Operator.LESS_OR_EQUAL: lambda left, right: left <= right,
    Operator.GREATER: lambda left, right: left > right,
    Operator.GREATER_OR_EQUAL: lambda left, right: left >= right,
}


def customer_ids(condition: Condition, segments: Mapping[str, Condition], *, now: datetime) -> Select[tuple[int]]:
    """The customers for whom the condition holds at `now`: one column, `customer_id`, in no order.

    `segments` are those the condition and each other refer to, every one after those it refers to; each
    becomes one common table expression. The statement takes nothing from a statement around it.
    """
    compiled: dict[str, CTE] = {}
    for name, inner in segments.items():
        compiled[name] = _Customers(compiled, now).those(inner).cte(f"segment_{name}")
    statement = _Customers(compiled, now).those(condition)
    return statement.add_cte(*compiled.values(), nest_here=True) if compiled else statement


def passage_ids(
    condition: Condition, segments: Mapping[str, Condition], passages: FromClause, *, now: datetime
) -> Select[tuple[int]]:
    """Those of the passages through a sequence for whose customers the condition holds at `now`: one column, `id`.

    `passages` has the columns `id`, `customer_id`, `entered_at`, `step_since` and `given`. Segments are asked of their
    customers alone.
    """
    customer, people = schema.customer, select(passages.c.customer_id)
    compiled: dict[str, CTE] = {}
    for name, inner in segments.items():
        members = _Customers(compiled, now)
        those = members.those(inner).where(members.customer.c.id.in_(people))
        compiled[name] = those.cte(f"segment_{name}")
    own = [passages.c[name] for name in ("given", "entered_at", "step_since")]
    # Every passage has its customer. The outer join, and their id from the passage, let PostgreSQL leave customers out
    # where a rule asks for nothing but what they did.
    theirs = [passages.c.customer_id.label("id"), *(column for column in customer.c if column.name != "id")]
    joined = select(*theirs, passages.c.id.label("passage_id"), *own)
    rows = joined.outerjoin_from(passages, customer, customer.c.id == passages.c.customer_id).subquery("c")
    statement = _Customers(compiled, now, rows).those(condition, rows.c.passage_id.label("id"))
    return statement.add_cte(*compiled.values(), nest_here=True) if compiled else statement


class _Customers:
    """One SELECT from `customer`, as `c`, and its metrics, as `m` where they are asked for.

    `passing`: instead of `customer`, its columns with those of a passage.
    """

    def __init__(self, segments: Mapping[str, CTE], now: datetime, passing: FromClause | None = None) -> None:
        self.customer: FromClause = schema.customer.alias("c") if passing is None else passing
        self.metrics: FromClause = schema.customer_metrics.alias("m")
        self.segments = segments
        begun = {Since.ENROLMENT: "entered_at", Since.STEP: "step_since"} if passing is not None else {}
        self.moments = Moments(now, {since: self.customer.c[name] for since, name in begun.items()})
        self.joined = False

    def those(self, condition: Condition, wanted: ColumnElement[int] | None = None) -> Select[tuple[int]]:
        """The ids of the customers for whom the condition holds, or what else is `wanted` of them."""
        where = self.truth(condition)
        if wanted is not None:  # some thousands: an index is probed for each, where a join would read all activities
            where = where.is_(true())
        source: Any = self.customer
        if self.joined:
            source = source.outerjoin(self.metrics, self.metrics.c.customer_id == self.customer.c.id)
        column = self.customer.c.id.label("customer_id") if wanted is None else wanted
        return select(column).select_from(source).where(where).correlate(None)

    # --- the two forms -------------------------------------------------------------------------------

    def truth(self, condition: Condition) -> Truth:
        """TRUE exactly where the condition holds."""
        match condition:
            case All(parts):
                return and_(*map(self.truth, parts))
            case AnyOf(parts):
                return or_(*map(self.truth, parts))
            case Not(part):
                return self.falsity(part)
            case Always(holds):
                return true() if holds else false()
            case Did() | History() | InSegment() | Subscribed():
                return self._known(condition)
            case Missing():
                return self._missing(condition.value)
        return self._nullable(condition)

    def falsity(self, condition: Condition) -> Truth:
        """TRUE exactly where the condition does not hold."""
        match condition:
            case All(parts):
                return or_(*map(self.falsity, parts))
            case AnyOf(parts):
                return and_(*map(self.falsity, parts))
            case Not(part):
                return self.truth(part)
            case Always(holds):
                return false() if holds else true()
            case Did() | History() | InSegment() | Subscribed():
                return ~self._known(condition)
            case Missing():
                return ~self._missing(condition.value)
        return self._nullable(condition).is_not(true())

    # --- leaves --------------------------------------------------------------------------------------

    def _known(self, condition: Did | History | InSegment | Subscribed) -> Truth:
        """A condition that SQL answers with TRUE or FALSE, never NULL."""
        match condition:
            case Did(behaviour):
                return did(behaviour, self.customer, self.moments)
            case History():
                return responded(condition, self.customer, self.moments)
            case Subscribed(topic):
                return subscribed(topic, self.customer, self.moments)
        members = self.segments[condition.name]
        return exists().where(members.c.customer_id == self.customer.c.id).correlate(self.customer)

    def _nullable(self, condition: Condition) -> Truth:
        """A comparison, NULL when a value is missing."""
        match condition:
            case Compare(left, operator, right, type_):
                return _COMPARE[operator](*self._comparable(left, operator, right, type_))
            case OneOf(value, constants, type_):
                return self._value(value, type_) == any_(_listed(constants, type_))
            case Like(value, test, text):
                return _like(self._value(value, Type.TEXT), test, text)
            case Older(value, length):
                return self._value(value, Type.INSTANT) < self.moments.ago(length)
            case Newer(value, length):
                return self._value(value, Type.INSTANT) >= self.moments.ago(length)
        raise TypeError(condition)

    def _comparable(
        self, left: Value, operator: Operator, right: Value | Constant, type_: Type
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        sides = tuple(
            self._value(side, type_) if isinstance(side, FieldValue | Attribute | Measured) else _constant(side, type_)
            for side in (left, right)
        )
        if type_ is Type.TEXT and operator is not Operator.EQUAL:  # by code point, whatever the database's language
            sides = tuple(side.collate("C") for side in sides)
        return sides[0], sides[1]

    def _missing(self, value: Value) -> Truth:
        if isinstance(value, Attribute):
            return json_missing(self._members(value), value.name)
        return self._value(value, Type.TEXT).is_(None)

    def _value(self, value: Value, type_: Type) -> ColumnElement[Any]:
        """The value in SQL; `type_` says how an attribute is read."""
        match value:
            case Measured():
                return measured(value, self.customer, self.moments)
            case Attribute(name):
                return json_column(self._members(value), name, type_)
        field = FIELDS[value.name]
        if field.table == "customer":
            return self.customer.c[field.column]
        self.joined = True
        column = self.metrics.c[field.column]
        return self._whole_days_since(column) if field.name == "recency_days" else column

    def _members(self, value: Attribute) -> ColumnElement[Any]:
        return self.customer.c.given if value.given else self.customer.c.attributes

    def _whole_days_since(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Counted from now, not from the last refresh of the metrics: a rule turns true at its minute."""
        seconds = extract("epoch", self.moments.now - column)
        return func.floor(seconds / 86_400)


def _constant(value: Constant, type_: Type) -> ColumnElement[Any]:
    if type_ is Type.FLAG:
        return true() if value else false()
    return literal(value, _SQL_TYPES[type_])


def _listed(constants: Iterable[Constant], type_: Type) -> Any:
    """The values as one array parameter, however many there are."""
    return literal(list(constants), ARRAY(_SQL_TYPES[type_]))


def _like(column: ColumnElement[Any], test: TextTest, text: str) -> Truth:
    match test:
        case TextTest.CONTAINS:
            return column.contains(text, autoescape=True)
        case TextTest.STARTS_WITH:
            return column.startswith(text, autoescape=True)
    return column.endswith(text, autoescape=True)
