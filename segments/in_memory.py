"""A checked condition evaluated in Python for one customer. Agrees with `to_sql` for every condition."""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from segments.facts import Activity, Facts, PurchaseLine
from segments.functions import PURCHASE
from segments.history_sql import CLICKED_BY, EMAIL, OPENED_BY
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
                return self._did(behaviour)
            case History():
                return self._responded(condition)
            case InSegment(name):
                return self.holds(self.segments[name])
            case Subscribed(topic):
                return self._agreed(topic) and not self._suppressed(topic)
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

    def _in_span(
        self, at: datetime | None, within: timedelta | None, before: timedelta | None = None
    ) -> bool:
        if at is None or (at > self.now if before is None else at >= self.now - before):
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

    def _did(self, behaviour: Behaviour) -> bool:
        if behaviour.name == PURCHASE:
            return bool(_orders(self._lines(behaviour)))
        return bool(self._activities(behaviour))

    def _measured(self, value: Measured) -> Constant | None:
        if value.behaviour.name == PURCHASE:
            lines = self._lines(value.behaviour)
            times = _orders(lines)
            amounts = [line.amount for line in lines]
        else:
            found = self._activities(value.behaviour)
            times = [activity.occurred_at for activity in found]
            amounts = [activity.value for activity in found if activity.value is not None]
        match value.measure:
            case Measure.COUNT:
                return Decimal(len(times))
            case Measure.TOTAL:
                return sum(amounts, Decimal(0))
        return max(times, default=None)

    # --- campaigns and consent -----------------------------------------------------------------------------

    def _responded(self, history: History) -> bool:
        match history.response:
            case Response.RECEIVED:
                return any(
                    self._meant(history, message.campaign, message.accepted_at)
                    for message in self.facts.messages
                    if message.state != "bounced"
                )
            case Response.OPENED:
                return self._hit(history, OPENED_BY)
            case Response.CLICKED:
                return self._hit(history, CLICKED_BY)
            case Response.CONVERTED:
                return self._converted(history)
        return self._hit(history, CLICKED_BY) or self._converted(history)

    def _meant(self, history: History, campaign: str, at: datetime | None) -> bool:
        return history.campaign in (None, campaign) and self._in_span(at, history.within)

    def _hit(self, history: History, kinds: Iterable[str]) -> bool:
        return any(
            hit.kind in kinds and hit.label == "human" and self._meant(history, hit.campaign, hit.occurred_at)
            for hit in self.facts.hits
        )

    def _converted(self, history: History) -> bool:
        return any(self._meant(history, found.campaign, found.at) for found in self.facts.conversions)

    def _agreed(self, topic: str) -> bool:
        said = [
            consent for consent in self.facts.consents if consent.channel == EMAIL and consent.topic == topic
        ]
        latest = max(said, key=lambda consent: (consent.captured_at, consent.id), default=None)
        if latest is None or latest.state == "withdrawn":
            return False
        return latest.expires_at is None or latest.expires_at > self.now

    def _suppressed(self, topic: str) -> bool:
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
    """When each order came that the lines make up and that is worth more than nothing."""
    amounts: dict[str, Decimal] = {}
    times: dict[str, datetime] = {}
    for line in lines:
        amounts[line.order_id] = amounts.get(line.order_id, Decimal(0)) + line.amount
        times[line.order_id] = max(times.get(line.order_id, line.ordered_at), line.ordered_at)
    return [times[order_id] for order_id, amount in amounts.items() if amount > 0]


def _one_of(value: object, wanted: Iterable[Constant]) -> bool:
    return any(json_value(value, _json_type(constant)) == constant for constant in wanted)


def _json_type(constant: Constant) -> Type:
    if isinstance(constant, bool):
        return Type.FLAG
    return Type.TEXT if isinstance(constant, str) else Type.NUMBER
