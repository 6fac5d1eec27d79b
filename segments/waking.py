"""What can make a rule come true: activities, which tell of themselves, or time and everything else."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from segments.functions import PURCHASE
from segments.membership import Rule
from segments.tree import All, AnyOf, Compare, Condition, Did, Measure, Measured, Operator


@dataclass(frozen=True, slots=True)
class Wakers:
    """The activities a rule asks for. `alone`: nothing but them can make it true, so nobody has to look otherwise."""

    activities: frozenset[str]
    alone: bool


def wakers(rule: Rule) -> Wakers:
    """What can make the rule come true."""
    return _of(rule.condition)


def _of(condition: Condition) -> Wakers:
    match condition:
        case All(parts) | AnyOf(parts):
            return _together(map(_of, parts))
        case Did(behaviour):
            return _told(behaviour.name, behaviour.before is None)
        case Compare(Measured(Measure.COUNT, behaviour), Operator.GREATER | Operator.GREATER_OR_EQUAL, right):
            return _told(behaviour.name, behaviour.before is None and isinstance(right, Decimal))
    return Wakers(frozenset(), alone=False)


def _told(name: str, alone: bool) -> Wakers:
    if name == PURCHASE:  # orders are rows of their own, and tell nobody
        return Wakers(frozenset(), alone=False)
    return Wakers(frozenset({name}), alone)


def _together(parts: Iterable[Wakers]) -> Wakers:
    found = list(parts)
    return Wakers(frozenset().union(*(part.activities for part in found)), all(part.alone for part in found))
