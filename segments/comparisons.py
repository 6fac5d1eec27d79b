"""Comparisons, `in` and `not in`: both sides fit together, or it is said why they do not."""

from collections.abc import Iterable
from typing import Final

from jinja2 import nodes

from core.names import near_miss
from segments.fields import FIELDS
from segments.literals import constant, instant, is_literal, text_constant
from segments.mistakes import wrong
from segments.places import start
from segments.tree import (
    MISSING_FOR_NEVER,
    Attribute,
    Compare,
    Condition,
    Constant,
    FieldValue,
    Like,
    Measured,
    Missing,
    Not,
    OneOf,
    Operator,
    TextTest,
    Type,
    Value,
)
from segments.values import Values, called_as, type_of

_OPERATORS: Final = {
    "eq": Operator.EQUAL,
    "lt": Operator.LESS,
    "lteq": Operator.LESS_OR_EQUAL,
    "gt": Operator.GREATER,
    "gteq": Operator.GREATER_OR_EQUAL,
}
_MIRRORED: Final = {"lt": "gt", "lteq": "gteq", "gt": "lt", "gteq": "lteq"}


def comparison(node: nodes.Compare, values: Values) -> Condition:
    """A comparison or a membership; `!=` and `not in` are the opposite of `==` and `in`."""
    if len(node.ops) > 1:
        at = start(node.ops[1].expr)
        raise wrong(at, "a comparison has two sides", "join two comparisons with 'and'")
    operand = node.ops[0]
    if operand.op in ("in", "notin"):
        found = _membership(node.expr, operand.expr, values)
        return Not(found, start(node)) if operand.op == "notin" else found
    found = _two_sides(node.expr, operand.op, operand.expr, start(node), values)
    return Not(found, start(node)) if operand.op == "ne" else found


def _two_sides(left: nodes.Expr, operator: str, right: nodes.Expr, at: int, values: Values) -> Condition:
    if is_literal(left):
        if is_literal(right):
            raise wrong(at, "two constants are compared", "compare a field with a value")
        left, right, operator = right, left, _MIRRORED.get(operator, operator)
    value = values.value(left)
    sign = _OPERATORS["eq" if operator == "ne" else operator]
    if not is_literal(right):
        return _two_values(value, sign, values.value(right), at, start(right))
    if isinstance(right, nodes.Const) and right.value is None:
        if sign is not Operator.EQUAL:
            raise wrong(start(right), "none is neither more nor less than anything", "write 'is missing'")
        return missing(value, at)
    type_, constant_ = _fitting(value, right)
    if type_ is Type.FLAG and sign is not Operator.EQUAL:
        raise wrong(start(right), "true and false have no order", "use == or !=")
    return Compare(value, sign, constant_, type_, at)


def _two_values(left: Value, sign: Operator, right: Value, at: int, right_at: int) -> Condition:
    if isinstance(left, Attribute) and isinstance(right, Attribute):
        raise wrong(
            right_at,
            "two attributes are compared, and neither says of which type they are",
            "compare an attribute with a field or a value",
        )
    type_ = type_of(right if isinstance(left, Attribute) else left)
    for side, place in ((left, at), (right, right_at)):
        if isinstance(side, Attribute) and type_ is Type.INSTANT:
            raise wrong(place, "an attribute is no date", "compare it with a text or a number")
    if not isinstance(right, Attribute) and type_of(right) is not type_:
        raise wrong(right_at, f"{called_as(right)} is {type_of(right).value}, expected {type_.value}")
    return Compare(left, sign, right, type_, at)


def _membership(left: nodes.Expr, right: nodes.Expr, values: Values) -> Condition:
    at = start(left)
    if isinstance(left, nodes.Const) and isinstance(left.value, str):
        value = values.value(right) if not is_literal(right) and not isinstance(right, nodes.List) else None
        if value is not None:
            must_be_text(value, start(right), "'… in' a field")
            return Like(value, TextTest.CONTAINS, text_constant(left, "the text looked for"), at)
        raise wrong(at, "two constants are compared", "compare a field with a value")
    value = values.value(left)
    if not isinstance(right, nodes.List | nodes.Tuple):
        hint = f"write [{quoted(right.value)}]" if is_literal(right) and isinstance(right, nodes.Const) else ""
        raise wrong(start(right), "'in' needs a list of values", hint or 'for example ["a", "b"]')
    if not right.items:
        raise wrong(int(right.lineno), "the list is empty: nobody would be selected", "name at least one value")
    pairs = [_fitting(value, item) for item in right.items]
    types = {type_ for type_, _ in pairs}
    if len(types) > 1:
        raise wrong(start(right.items[1]), "the list mixes texts, numbers or true/false", "use one type only")
    return OneOf(value, tuple(dict.fromkeys(found for _, found in pairs)), types.pop(), at)


def _fitting(value: Value, node: nodes.Expr) -> tuple[Type, Constant]:
    """The literal, checked against the type and the levels of what it is compared with."""
    at, called = start(node), called_as(value)
    if not is_literal(node):
        raise wrong(at, f"{called} can be compared with a list of constants only")
    type_, found = constant(node, f"what {called} is compared with")
    if isinstance(value, Attribute):
        return type_, found
    wanted = type_of(value)
    if wanted is Type.INSTANT and isinstance(found, str):
        return wanted, instant(found, at)
    if type_ is not wanted:
        hint = _level_hint(value)
        raise wrong(at, f"{called} is {wanted.value} (got {type_.value}, expected {wanted.value})", hint)
    levels = FIELDS[value.name].levels if isinstance(value, FieldValue) else ()
    if levels and found not in levels:
        raise wrong(at, f"{called} has no level {found!r}", _level_near(str(found), levels))
    return type_, found


def missing(value: Value, at: int) -> Condition:
    """The condition that there is no value."""
    if isinstance(value, Measured) and value.measure not in MISSING_FOR_NEVER:
        raise wrong(at, f"{called_as(value)} is never missing: it is 0 for never", "compare it with 0")
    return Missing(value, at)


def must_be_text(value: Value, at: int, what: str) -> None:
    """Nothing happens to a text or an attribute; anything else is a mistake."""
    if not isinstance(value, Attribute) and type_of(value) is not Type.TEXT:
        raise wrong(at, f"{what} needs a text (got {type_of(value).value})")


def quoted(text: object) -> str:
    """A constant as it is written."""
    return f'"{text}"' if isinstance(text, str) else str(text)


def _level_hint(value: Value) -> str:
    levels = FIELDS[value.name].levels if isinstance(value, FieldValue) else ()
    return f"levels: {', '.join(levels)}" if levels else ""


def _level_near(given: str, levels: Iterable[str]) -> str:
    same = [level for level in levels if level.lower() == given.lower()]
    close = same[0] if same else near_miss(given, levels)
    listed = f"levels: {', '.join(levels)}"
    return f"did you mean {close!r}? {listed}" if close else listed
