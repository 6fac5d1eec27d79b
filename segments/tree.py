"""The checked expression: what a segment means once names and types are known.

Every condition is true or false for every customer, never "unknown". `at` is where the part begins in the
expression's text; it takes no part in equality.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum


class Type(Enum):
    """What a value is; the value of each member is how messages call it."""

    TEXT = "a text"
    NUMBER = "a number"
    FLAG = "true or false"
    INSTANT = "a date"


Constant = str | Decimal | bool | datetime


def _place() -> int:
    return field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `lowest` to `highest`, both of them included; None: without end there."""

    lowest: Decimal | None = None
    highest: Decimal | None = None


# --- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A field of `segments.fields.FIELDS`."""

    name: str
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Attribute:
    """One of the customer's own attributes, or of the values `given` with their passage through a sequence; read as
    the type it is compared with."""

    name: str
    at: int = _place()
    given: bool = False


class Since(Enum):
    """From when on something counts in a rule that is asked within a sequence."""

    ENROLMENT = "enrolment"  # when the passage began
    STEP = "step"  # when it came to its step


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Which activities (or orders, for the name `purchase`) are meant.

    They lie in [now - within, now - before), never after now, and not before `since`. `where`: property → the values or
    numbers it may have.
    """

    name: str
    within: timedelta | None = None
    before: timedelta | None = None
    where: tuple[tuple[str, tuple[Constant | Range, ...]], ...] = ()
    since: Since | None = None


class Measure(Enum):
    """What is measured of a behaviour."""

    COUNT = "count"
    TOTAL = "total"
    LAST = "last"
    LATEST = "latest"


#: What is missing for never; the others are 0 then.
MISSING_FOR_NEVER = frozenset({Measure.LAST, Measure.LATEST})


@dataclass(frozen=True, slots=True)
class Measured:
    """`count(…)`: how often, 0 for never. `total(…)`: the sum, 0 for never. `last(…)`: when, or missing.
    `latest(…)`: the value of the last one that has a value, or missing."""

    measure: Measure
    behaviour: Behaviour
    at: int = _place()


Value = FieldValue | Attribute | Measured

# --- conditions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Always:
    """`true`, or `false`."""

    holds: bool
    at: int = _place()


@dataclass(frozen=True, slots=True)
class All:
    parts: "tuple[Condition, ...]"
    at: int = _place()


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: "tuple[Condition, ...]"
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"
    at: int = _place()


class Operator(Enum):
    EQUAL = "=="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Compare:
    """False when either side is missing. `!=` is `Not` of equal."""

    left: Value
    operator: Operator
    right: Value | Constant
    type: Type
    at: int = _place()


@dataclass(frozen=True, slots=True)
class OneOf:
    """`in`: false when the value is missing. `not in` is `Not` of it."""

    value: Value
    constants: tuple[Constant, ...]
    type: Type
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no value. `is present` is `Not` of it."""

    value: Value
    at: int = _place()


class TextTest(Enum):
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


@dataclass(frozen=True, slots=True)
class Like:
    """A part of a text, capitals distinguished; false when the text is missing."""

    value: Value
    test: TextTest
    text: str
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Older:
    """The instant lies before now - length; false when it is missing."""

    value: Value
    length: timedelta
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Newer:
    """The instant is now - length or later; false when it is missing."""

    value: Value
    length: timedelta
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Did:
    behaviour: Behaviour
    at: int = _place()


class Response(Enum):
    """What a customer did with a campaign's message."""

    RECEIVED = "received"
    OPENED = "opened"
    CLICKED = "clicked"
    RESPONDED = "responded"
    CONVERTED = "converted"


@dataclass(frozen=True, slots=True)
class History:
    """`campaign` None: any campaign. `within` None: ever."""

    response: Response
    campaign: str | None = None
    within: timedelta | None = None
    at: int = _place()


@dataclass(frozen=True, slots=True)
class InSegment:
    name: str
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Subscribed:
    topic: str
    at: int = _place()


Condition = (
    Always
    | All
    | AnyOf
    | Not
    | Compare
    | OneOf
    | Missing
    | Like
    | Older
    | Newer
    | Did
    | History
    | InSegment
    | Subscribed
)
