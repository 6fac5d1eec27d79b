"""When time alone may change whom a rule selects, though nothing is written meanwhile.

A rule compares instants on record with now, or with what lies so long before now. What it says of anybody can therefore
change only when an instant on record has come, or is so long ago.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, column, func, literal, select, table, union_all

from segments.fields import FIELDS
from segments.functions import PURCHASE
from segments.membership import Rule
from segments.tree import (
    All,
    Always,
    AnyOf,
    Behaviour,
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
    Response,
    Subscribed,
    Value,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Whom a rule selects may change `later` after each instant in this column: then, or just after."""

    table: str
    column: str
    later: timedelta = timedelta()


def turns(rule: Rule) -> frozenset[Turn] | None:
    """All turns of the rule; None: it may change at any time."""
    found = {turn for condition in (rule.condition, *rule.segments.values()) for turn in _of(condition)}
    return None if None in found else frozenset(turn for turn in found if turn is not None)


def first_turn(connection: Connection, known: Iterable[Turn], since: datetime) -> datetime | None:
    """The first instant from `since` on at which a rule with these turns may change; None: none does by what is on
    record."""
    asked = list(known)
    rows: list[Any] = [
        select(literal(number), func.min(column(turn.column)))
        .select_from(table(turn.table))
        .where(column(turn.column) >= since - turn.later)
        for number, turn in enumerate(asked)
    ]
    found = connection.execute(union_all(*rows)).all() if rows else ()
    return min((at.astimezone(UTC) + asked[number].later for number, at in found if at is not None), default=None)


# --- parts of a rule; None: at any time ----------------------------------------------------------------------------

_ANSWERS: Final[Mapping[Response, tuple[Turn, ...]]] = {
    Response.RECEIVED: (Turn("message", "accepted_at"),),
    Response.OPENED: (Turn("hit", "occurred_at"),),
    Response.CLICKED: (Turn("hit", "occurred_at"),),
    Response.CONVERTED: (Turn("conversion", "at"),),
    Response.RESPONDED: (Turn("hit", "occurred_at"), Turn("conversion", "at")),
}


def _of(condition: Condition) -> Iterator[Turn | None]:
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _of(part)
        case Not(part):
            yield from _of(part)
        case Always() | InSegment():  # a segment's own condition is among the rule's
            return
        case Did(behaviour):
            yield from _of_behaviour(behaviour)
        case History(response, _, within):
            for turn in _ANSWERS[response]:
                yield turn
                yield Turn(turn.table, turn.column, within or timedelta())
        case Subscribed():
            yield from (Turn(place, "expires_at") for place in ("consent", "suppression"))
        case Older(value, length) | Newer(value, length):
            yield from _of_age(value, length)
        case Compare(left, _, right):
            yield from _of_value(left)
            yield from _of_value(right)
        case OneOf(value) | Like(value) | Missing(value):
            yield from _of_value(value)
        case _:
            yield None


def _of_value(value: Value | Constant) -> Iterator[Turn | None]:
    match value:
        case FieldValue("recency_days"):  # counted from now
            yield None
        case Measured(_, behaviour):
            yield from _of_behaviour(behaviour)


def _of_behaviour(behaviour: Behaviour) -> Iterator[Turn]:
    for later in (behaviour.before or timedelta(), behaviour.within or timedelta()):
        yield _behaved(behaviour, later)


def _of_age(value: Value, length: timedelta) -> Iterator[Turn | None]:
    match value:
        case FieldValue(name):
            yield Turn(FIELDS[name].table, FIELDS[name].column, length)
        case Measured(_, behaviour):
            yield _behaved(behaviour, length)
            yield from _of_behaviour(behaviour)
        case _:
            yield None


def _behaved(behaviour: Behaviour, later: timedelta) -> Turn:
    is_order = behaviour.name == PURCHASE
    return Turn("purchase", "ordered_at", later) if is_order else Turn("activity", "occurred_at", later)
