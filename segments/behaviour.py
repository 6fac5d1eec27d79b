"""Whether a rule chooses people by what they did, which they may refuse (S-5.12)."""

from collections.abc import Iterable, Mapping

from segments.definition import Segment
from segments.expression import read
from segments.fields import FIELDS
from segments.tree import (
    All,
    AnyOf,
    Compare,
    Condition,
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
)
from segments.vocabulary import Vocabulary


def looks_at_behaviour(segments: Mapping[str, Segment], vocabulary: Vocabulary) -> bool:
    """Any of the segments asks for orders, activities, responses to mail, or for tiers, which are made of them.

    What customers told us is no behaviour: their country, language, attributes, what they subscribed to. `segments`
    holds those that are referred to as well.
    """
    conditions = (read(segment.where, vocabulary).condition for segment in segments.values())
    return any(_any_by_behaviour([condition]) for condition in conditions if condition is not None)


def _any_by_behaviour(conditions: Iterable[Condition]) -> bool:
    return any(_by_behaviour(condition) for condition in conditions)


def _by_behaviour(condition: Condition) -> bool:
    match condition:
        case All(parts) | AnyOf(parts):
            return _any_by_behaviour(parts)
        case Not(part):
            return _by_behaviour(part)
        case Did():
            return True
        case History(response=response):
            return response is not Response.RECEIVED
        case Compare(left, _, right):
            return _is_behaviour(left) or _is_behaviour(right)
        case OneOf(value) | Missing(value) | Like(value) | Older(value) | Newer(value):
            return _is_behaviour(value)
        case InSegment():
            return False  # it is one of the segments
        case _:
            return False


def _is_behaviour(value: object) -> bool:
    if isinstance(value, FieldValue):
        return FIELDS[value.name].table == "customer_metrics"
    return isinstance(value, Measured)
