"""A checked condition evaluated in Python for one customer. Agrees with `to_sql` for every condition."""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from segments.facts import Activity, Facts, PurchaseLine
from segments.functions import PURCHASE
from segments.history_sql import ANSWERED_BY, CLICKED_BY, EMAIL, OPENED_BY
from segments.json_values import json_value
from segments.tree import (
    All,
    Always,
    AnyOf,
    Attribute,
    Behaviour,
    Compare,
    Condition,
    Constant,
    Did,
    FieldValue,
    History,
    InSegment,
    Like,
    Measure,
    Measured,
    Missing,
    Newer,
    Not,
    Older,
    OneOf,
    Operator,
    Range,
    Response,
    Subscribed,
    TextTest,
    Type,
    Value,
)

_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}
_LIKE: Final[Mapping[TextTest, Callable[[str, str], bool]]] = {
    TextTest.CONTAINS: operator.contains,
    TextTest.STARTS_WITH: str.startswith,
    TextTest.ENDS_WITH: str.endswith,
}


class OneCustomer:
    """The customer whose facts are given, at `now`. `segments` are those of the rule."""

    def __init__(self, facts: Facts, segments: Mapping[str, Condition], *, now: datetime) -> None:
        self.facts = facts
        self.segments = segments
        self.now = now

    def holds(self, condition: Condition) -> bool:
        """Whether the condition is true of the customer."""
        match condition:
            case All(parts):
                return all(map(self.holds, parts))
            case AnyOf(parts):
                return any(map(self.holds, parts))
            case Not(part):
                return not self.holds(part)
            case Always(holds):
                return holds
            case Did(behaviour):
                return bool(self.occasions(behaviour))
            case History():
                return bool(self.responses(condition))
            case InSegment(name):
                return self.holds(self.segments[name])
            case Subscribed(topic):
                return self.agreed(topic) and not self.suppressed(topic)
        return self._compared(condition)

    def _compared(self, condition: Condition) -> bool:
        match condition:
            case Compare(left, sign, right, type_):
                sides = self.value(left, type_), self._side(right, type_)
                return None not in sides and _COMPARE[sign](*sides)
            case OneOf(value, constants, type_):
                return self.value(value, type_) in constants
            case Missing(value):
                return self._missing(value)
            case Like(value, test, text):
                found = self.value(value, Type.TEXT)
                return isinstance(found, str) and _LIKE[test](found, text)
            case Older(value, length):
                at = self.value(value, Type.INSTANT)
                return isinstance(at, datetime) and at < self.now - length
            case Newer(value, length):
                at = self.value(value, Type.INSTANT)
                return isinstance(at, datetime) and at >= self.now - length
        raise TypeError(condition)

    # --- values ----------------------------------------------------------------------------------------

    def value(self, value: Value, type_: Type) -> Constant | None:
        """What the customer has there; None when it is missing. `type_` says how an attribute is read."""
        match value:
            case FieldValue("recency_days"):
                last = self.facts.fields.get("last_order_at")
                return Decimal((self.now - last) // timedelta(days=1)) if isinstance(last, datetime) else None
            case FieldValue(name):
                return self.facts.fields.get(name)
            case Attribute(name):
                return json_value(self.facts.attributes.get(name), type_)
        return self._measured(value)

    def _side(self, side: Value | Constant, type_: Type) -> Constant | None:
        return self.value(side, type_) if isinstance(side, FieldValue | Attribute | Measured) else side

    def _missing(self, value: Value) -> bool:
        if isinstance(value, Attribute):
            return self.facts.attributes.get(value.name) is None
        return self.value(value, Type.TEXT) is None

    # --- behaviour ---------------------------------------------------------------------------------------

    def _in_span(self, at: datetime, within: timedelta | None, before: timedelta | None = None) -> bool:
        if at > self.now if before is None else at >= self.now - before:
            return False
        return within is None or at >= self.now - within

    def _activities(self, behaviour: Behaviour) -> list[Activity]:
        return [
            activity
            for activity in self.facts.activities
            if activity.name == behaviour.name
            and self._in_span(activity.occurred_at, behaviour.within, behaviour.before)
            and all(_one_of(activity.properties.get(key), values) for key, values in behaviour.where)
        ]

    def _lines(self, behaviour: Behaviour) -> list[PurchaseLine]:
        return [
            line
            for line in self.facts.purchases
            if self._in_span(line.ordered_at, behaviour.within, behaviour.before)
            and all(getattr(line, key) in values for key, values in behaviour.where)
        ]

    def occasions(self, behaviour: Behaviour) -> list[datetime]:
        """When the customer did it, or when each order came."""
        if behaviour.name == PURCHASE:
            return _orders(self._lines(behaviour))
        return [activity.occurred_at for activity in self._activities(behaviour)]

    def _measured(self, value: Measured) -> Constant | None:
        match value.measure:
            case Measure.COUNT:
                return Decimal(len(self.occasions(value.behaviour)))
            case Measure.TOTAL:
                return sum(self._amounts(value.behaviour), Decimal(0))
            case Measure.LATEST:
                done = self._activities(value.behaviour)
                valued = [(one.occurred_at, one.value) for one in done if one.value is not None]
                return max(valued)[1] if valued else None
        return max(self.occasions(value.behaviour), default=None)

    def _amounts(self, behaviour: Behaviour) -> list[Decimal]:
        if behaviour.name == PURCHASE:
            return [line.amount for line in self._lines(behaviour)]
        return [activity.value for activity in self._activities(behaviour) if activity.value is not None]

    # --- campaigns and consent -----------------------------------------------------------------------------

    def responses(self, history: History) -> list[datetime]:
        """When the customer did it with a message of the campaign."""
        match history.response:
            case Response.RECEIVED:
                kept = (message for message in self.facts.messages if message.state != "bounced")
                return self._meant(history, ((message.campaign, message.accepted_at) for message in kept))
            case Response.OPENED:
                return self._hits(history, OPENED_BY)
            case Response.CLICKED:
                return self._hits(history, CLICKED_BY)
            case Response.CONVERTED:
                return self._conversions(history)
        return self._hits(history, ANSWERED_BY) + self._conversions(history)

    def _hits(self, history: History, kinds: Iterable[str]) -> list[datetime]:
        human = (hit for hit in self.facts.hits if hit.kind in kinds and hit.label == "human")
        return self._meant(history, ((hit.campaign, hit.occurred_at) for hit in human))

    def _conversions(self, history: History) -> list[datetime]:
        return self._meant(history, ((found.campaign, found.at) for found in self.facts.conversions))

    def _meant(self, history: History, found: Iterable[tuple[str, datetime | None]]) -> list[datetime]:
        return [
            at
            for campaign, at in found
            if history.campaign in (None, campaign) and at is not None and self._in_span(at, history.within)
        ]

    def agreed(self, topic: str) -> bool:
        """Whether the latest word on the topic is a yes that has not expired."""
        said = [
            consent for consent in self.facts.consents
            if consent.channel == EMAIL and consent.topic == topic and consent.state != "requested"
        ]  # fmt: skip
        latest = max(said, key=lambda word: (word.captured_at, word.state == "withdrawn", word.id), default=None)
        if latest is None or latest.state == "withdrawn":
            return False
        return latest.expires_at is None or latest.expires_at > self.now

    def suppressed(self, topic: str) -> bool:
        """Whether an entry in force forbids mail on the topic."""
        return any(
            entry.lifted_at is None
            and (entry.expires_at is None or entry.expires_at > self.now)
            and (
                entry.scope == "global"
                or (entry.channel == EMAIL and entry.scope == "channel")
                or (entry.channel == EMAIL and entry.scope == "topic" and entry.scope_name == topic)
            )
            for entry in self.facts.suppressions
        )


def _orders(lines: Iterable[PurchaseLine]) -> list[datetime]:
    """When each order came that the lines make up; returns alone make up none."""
    times: dict[str, datetime] = {}
    for line in lines:
        if line.quantity > 0 and line.amount >= 0:
            times[line.order_id] = max(times.get(line.order_id, line.ordered_at), line.ordered_at)
    return list(times.values())


def _one_of(value: object, wanted: Iterable[Constant | Range]) -> bool:
    return any(_is(value, each) for each in wanted)


def _is(value: object, wanted: Constant | Range) -> bool:
    if isinstance(wanted, Range):
        return _lies_in(value, wanted)
    return json_value(value, _json_type(wanted)) == wanted


def _lies_in(value: object, wanted: Range) -> bool:
    number = json_value(value, Type.NUMBER)
    if not isinstance(number, Decimal):
        return False
    return (wanted.lowest is None or number >= wanted.lowest) and (wanted.highest is None or number <= wanted.highest)


def _json_type(constant: Constant) -> Type:
    if isinstance(constant, bool):
        return Type.FLAG
    return Type.TEXT if isinstance(constant, str) else Type.NUMBER
