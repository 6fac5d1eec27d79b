"""Why a segment selects whom it selects: its conditions with head counts, or judged for one customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, func, select

from core import schema
from segments.facts import Facts
from segments.in_memory import OneCustomer
from segments.membership import Rule
from segments.to_sql import customer_ids
from segments.tree import (
    All,
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
    Subscribed,
    Type,
    Value,
)
from segments.wording import heading, worded, worded_value

# --- how many ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """A condition and how many customers it holds for, alone. `left`: for it and all before it together;
    None where the parts are joined by `or`. `heading`: its name above its parts."""

    condition: str
    heading: str
    customers: int
    left: int | None
    parts: "tuple[Counted, ...]" = ()


def count(connection: Connection, condition: Condition, rule: Rule, now: datetime) -> int:
    """How many customers the condition holds for."""
    found = customer_ids(condition, rule.segments, now=now).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def funnel(connection: Connection, rule: Rule, *, now: datetime) -> Counted:
    """The rule's conditions one by one: each is one count, and one more for what is left after it."""

    def counted(condition: Condition, before: tuple[Condition, ...] | None) -> Counted:
        alone = count(connection, condition, rule, now)
        left = None if before is None else alone if not before else together((*before, condition))
        return Counted(worded(condition), heading(condition), alone, left, tuple(inner(condition)))

    def together(conditions: tuple[Condition, ...]) -> int:
        return count(connection, All(conditions), rule, now)

    def inner(condition: Condition) -> list[Counted]:
        match condition:
            case All(parts):
                return [counted(part, parts[:index]) for index, part in enumerate(parts)]
            case AnyOf(parts):
                return [counted(part, None) for part in parts]
            case Not(All() | AnyOf() as part):
                return [counted(part, None)]
        return []

    return counted(rule.condition, None)


def total_customers(connection: Connection) -> int:
    """How many customers there are."""
    return int(connection.execute(select(func.count()).select_from(schema.customer)).scalar_one())


# --- one customer ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """A condition, whether it holds for the customer, and the values that decided it."""

    condition: str
    heading: str
    holds: bool
    found: str
    parts: "tuple[Judged, ...]" = ()


def judge(rule: Rule, facts: Facts, *, now: datetime) -> Judged:
    """The rule's conditions for one customer; a segment that is referred to is opened up."""
    customer = OneCustomer(facts, rule.segments, now=now)

    def judged(condition: Condition) -> Judged:
        found = _found(condition, customer)
        parts = tuple(map(judged, _opened(condition, rule)))
        return Judged(worded(condition), heading(condition), customer.holds(condition), found, parts)

    return judged(rule.condition)


def _opened(condition: Condition, rule: Rule) -> Sequence[Condition]:
    match condition:
        case All(parts) | AnyOf(parts):
            return parts
        case Not(All() | AnyOf() | InSegment() as part):
            return (part,)
        case InSegment(name):
            return (rule.segments[name],)
    return ()


def _found(condition: Condition, customer: OneCustomer) -> str:
    """The values behind a condition that has no parts."""
    match condition:
        case Not(All() | AnyOf() | InSegment()):
            return ""
        case Not(part):
            return _found(part, customer)
        case Compare(left, _, right, type_):
            sides = [side for side in (left, right) if isinstance(side, FieldValue | Attribute | Measured)]
            return ", ".join(_value(side, type_, customer) for side in sides)
        case OneOf(value, _, type_):
            return _value(value, type_, customer)
        case Missing(value) | Like(value):
            return _value(value, Type.TEXT, customer)
        case Older(value) | Newer(value):
            return _value(value, Type.INSTANT, customer)
        case Did(behaviour):
            return _times(customer.occasions(behaviour))
        case History():
            return _times(customer.responses(condition))
        case Subscribed(topic):
            agreed = "agreed" if customer.agreed(topic) else "no consent in force"
            return f"{agreed}, suppressed" if customer.suppressed(topic) else agreed
    return ""


def _value(value: Value, type_: Type, customer: OneCustomer) -> str:
    called = value.measure.value if isinstance(value, Measured) else worded_value(value)
    return f"{called} is {_shown(customer.value(value, type_))}"


def _times(times: Sequence[datetime]) -> str:
    if not times:
        return "never"
    how_often = "once" if len(times) == 1 else f"{len(times)} times, last"
    return f"{how_often} at {_shown(max(times))}"


def _shown(value: Constant | None) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M %Z}"
        case Decimal() | int():
            return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value}"
    return f'"{value}"'
