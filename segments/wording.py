"""A checked condition as an expression again: one line, in one style."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from core.units import format_duration
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
    Measured,
    Missing,
    Newer,
    Not,
    Older,
    OneOf,
    Operator,
    Range,
    Subscribed,
    Value,
)


def worded(condition: Condition) -> str:
    """The condition as an expression that means the same."""
    match condition:
        case All(parts):
            return " and ".join(map(_inner, parts))
        case AnyOf(parts):
            return " or ".join(map(_inner, parts))
        case Not(part):
            return _negated(part)
        case Always(holds):
            return "true" if holds else "false"
        case Compare(left, operator, right):
            return f"{worded_value(left)} {operator.value} {worded_value(right)}"
        case OneOf(value, constants):
            return f"{worded_value(value)} in {_list(constants)}"
        case Missing(value):
            return f"{worded_value(value)} is missing"
        case Like(value, test, text):
            return f"{worded_value(value)} is {test.value}({_constant(text)})"
        case Older(value, length):
            return f"{worded_value(value)} is older_than({_length(length)})"
        case Newer(value, length):
            return f"{worded_value(value)} is newer_than({_length(length)})"
    return _called(condition)


def heading(condition: Condition) -> str:
    """What stands above the condition's parts where they are listed below it; itself, where it has none."""
    match condition:
        case All():
            return "all of"
        case AnyOf():
            return "any of"
        case Not(All() | AnyOf()):
            return "not"
    return worded(condition)


def _called(condition: Condition) -> str:
    match condition:
        case Did(behaviour):
            return f"did({_behaviour(behaviour)})"
        case History(response, campaign, within):
            arguments = [_constant(campaign)] if campaign is not None else []
            arguments += [f"within={_length(within)}"] if within is not None else []
            return f"{response.value}({', '.join(arguments)})"
        case InSegment(name):
            return f"in_segment({_constant(name)})"
        case Subscribed(topic):
            return f"subscribed({_constant(topic)})"
    raise TypeError(condition)


def _inner(condition: Condition) -> str:
    return f"({worded(condition)})" if isinstance(condition, All | AnyOf) else worded(condition)


def _negated(part: Condition) -> str:
    match part:
        case Compare(left, Operator.EQUAL, right):
            return f"{worded_value(left)} != {worded_value(right)}"
        case OneOf(value, constants):
            return f"{worded_value(value)} not in {_list(constants)}"
        case Missing(value):
            return f"{worded_value(value)} is present"
        case All() | AnyOf() | Not():
            return f"not ({worded(part)})"
    return f"not {worded(part)}"


def worded_value(side: Value | Constant) -> str:
    """A value as it is written in an expression."""
    match side:
        case FieldValue(name):
            return name
        case Attribute(name, given=given):
            owner = "given" if given else "attributes"
            return f"{owner}.{name}" if name.isidentifier() else f"{owner}[{_constant(name)}]"
        case Measured(measure, behaviour):
            return f"{measure.value}({_behaviour(behaviour)})"
    return _constant(side)


def _behaviour(behaviour: Behaviour) -> str:
    arguments = [_constant(behaviour.name)]
    arguments += [f"within={_length(behaviour.within)}"] if behaviour.within is not None else []
    arguments += [f"before={_length(behaviour.before)}"] if behaviour.before is not None else []
    if behaviour.where:
        pairs = (
            f"{_constant(key)}: {_list(values) if len(values) > 1 else _wanted(values[0])}"
            for key, values in behaviour.where
        )
        arguments.append(f"where={{{', '.join(pairs)}}}")
    arguments += [f"since={_constant(behaviour.since.value)}"] if behaviour.since is not None else []
    return ", ".join(arguments)


def _list(constants: Iterable[Constant | Range]) -> str:
    return f"[{', '.join(map(_wanted, constants))}]"


def _wanted(wanted: Constant | Range) -> str:
    if not isinstance(wanted, Range):
        return _constant(wanted)
    ends = {"from": wanted.lowest, "to": wanted.highest}
    written = [f"{_constant(end)}: {_constant(at)}" for end, at in ends.items() if at is not None]
    return f"{{{', '.join(written)}}}"


def _length(length: timedelta) -> str:
    return f'"{format_duration(length)}"'


_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def _constant(constant: Constant) -> str:
    match constant:
        case bool():
            return "true" if constant else "false"
        case Decimal():
            return format(constant, "f")
        case datetime():
            return f'"{constant.isoformat()}"'
    return f'"{constant.translate(_ESCAPED)}"'
