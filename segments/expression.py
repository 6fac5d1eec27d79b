"""An expression's text becomes a checked condition, or the list of everything that is wrong with it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from core.names import did_you_mean, near_miss
from segments.fields import FIELDS
from segments.functions import FUNCTIONS, Call, duration
from segments.literals import constant, instant, is_literal, text_constant
from segments.mistakes import Mistake, Wrong, wrong
from segments.places import start
from segments.source import parse
from segments.tree import (
    All,
    Always,
    AnyOf,
    Attribute,
    Compare,
    Condition,
    Constant,
    FieldValue,
    Like,
    Measure,
    Measured,
    Missing,
    Newer,
    Not,
    Older,
    OneOf,
    Operator,
    TextTest,
    Type,
    Value,
)
from segments.vocabulary import Vocabulary

_OPERATORS: Final = {
    "eq": Operator.EQUAL,
    "lt": Operator.LESS,
    "lteq": Operator.LESS_OR_EQUAL,
    "gt": Operator.GREATER,
    "gteq": Operator.GREATER_OR_EQUAL,
}
_MIRRORED: Final = {"lt": "gt", "lteq": "gteq", "gt": "lt", "gteq": "lteq"}
_TESTS: Final = ("missing", "present", "older_than", "newer_than", *(test.value for test in TextTest))
_FOREIGN_TESTS: Final = {"none": "missing", "null": "missing", "undefined": "missing", "defined": "present"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a text gave: a condition, or mistakes in the order of their places."""

    condition: Condition | None
    mistakes: tuple[Mistake, ...] = ()


def read(text: str, vocabulary: Vocabulary) -> Reading:
    """The text as a checked condition, with every mistake found when it is none."""
    text = re.sub(r"\r\n?", "\n", text)
    try:
        source = parse(text)
        return Reading(_Checker(vocabulary, source.keyword_places).condition(source.tree))
    except Wrong as caught:
        return Reading(None, tuple(sorted(set(caught.mistakes), key=lambda mistake: mistake.at)))


@dataclass(frozen=True, slots=True)
class _Checker:
    vocabulary: Vocabulary
    keyword_places: "dict[int, int] | object"

    # --- conditions ----------------------------------------------------------------------------------

    def condition(self, node: nodes.Expr) -> Condition:
        match node:
            case nodes.And():
                return All(self._parts(node, nodes.And), start(node))
            case nodes.Or():
                return AnyOf(self._parts(node, nodes.Or), start(node))
            case nodes.Not():
                return Not(self.condition(node.node), start(node))
            case nodes.Compare():
                return self._comparison(node)
            case nodes.Test():
                return self._test(node)
            case nodes.Const() if isinstance(node.value, bool):
                return Always(node.value, start(node))
        return self._bare(node)

    def _parts(self, node: nodes.BinExpr, kind: type[nodes.BinExpr]) -> tuple[Condition, ...]:
        """The parts of a chain of `and`s or `or`s (Jinja nests it to the left), with the mistakes of all."""
        chain: list[nodes.Expr] = []
        current: nodes.Expr = node
        while isinstance(current, kind):
            chain.append(current.right)
            current = current.left
        chain.append(current)
        parts: list[Condition] = []
        mistakes: list[Mistake] = []
        for index, part in enumerate(reversed(chain)):
            try:
                parts.append(self._part(part, chain[-index] if index else None))
            except Wrong as caught:
                mistakes += caught.mistakes
        if mistakes:
            raise Wrong(*mistakes)
        return tuple(parts)

    def _part(self, node: nodes.Expr, before: nodes.Expr | None) -> Condition:
        if (
            isinstance(node, nodes.Const)
            and isinstance(node.value, str)
            and isinstance(before, nodes.Compare)
        ):
            hint = f'compare again, or list the values: … in ["…", {_quoted(node.value)}]'
            raise wrong(start(node), "a text alone is neither true nor false", hint)
        return self.condition(node)

    def _bare(self, node: nodes.Expr) -> Condition:
        """A function that is a condition, or an attribute that is true."""
        at = start(node)
        if is_literal(node) or isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
            raise wrong(at, "a condition is needed here", 'for example tier == "top"; true selects everybody')
        found = self._anything(node)
        if isinstance(found, Attribute):
            return Compare(found, Operator.EQUAL, True, Type.FLAG, at)
        if isinstance(found, FieldValue | Attribute | Measured):
            name = _called(found)
            raise wrong(
                at,
                f"{name} is {_type_of(found).value}, expected a condition",
                f"compare it, or write '{name} is present'"
                if isinstance(found, FieldValue)
                else "compare it",
            )
        return found

    def _comparison(self, node: nodes.Compare) -> Condition:
        if len(node.ops) > 1:
            at = start(node.ops[1].expr)
            raise wrong(at, "a comparison has two sides", "join two comparisons with 'and'")
        operand = node.ops[0]
        if operand.op in ("in", "notin"):
            found = self._membership(node.expr, operand.expr)
            return Not(found, start(node)) if operand.op == "notin" else found
        found = self._two_sides(node.expr, operand.op, operand.expr, start(node))
        return Not(found, start(node)) if operand.op == "ne" else found

    def _two_sides(self, left: nodes.Expr, operator: str, right: nodes.Expr, at: int) -> Condition:
        if is_literal(left):
            if is_literal(right):
                raise wrong(at, "two constants are compared", "compare a field with a value")
            left, right, operator = right, left, _MIRRORED.get(operator, operator)
        value = self._value(left)
        sign = _OPERATORS["eq" if operator == "ne" else operator]
        if not is_literal(right):
            return self._two_values(value, sign, self._value(right), at, start(right))
        if isinstance(right, nodes.Const) and right.value is None:
            if sign is not Operator.EQUAL:
                raise wrong(start(right), "none is neither more nor less than anything", "write 'is missing'")
            return Missing(value, at)
        type_, constant_ = self._fitting(value, right)
        if type_ is Type.FLAG and sign is not Operator.EQUAL:
            raise wrong(start(right), "true and false have no order", "use == or !=")
        return Compare(value, sign, constant_, type_, at)

    def _two_values(self, left: Value, sign: Operator, right: Value, at: int, right_at: int) -> Condition:
        if isinstance(left, Attribute) and isinstance(right, Attribute):
            raise wrong(
                right_at,
                "two attributes are compared, and neither says of which type they are",
                "compare an attribute with a field or a value",
            )
        type_ = _type_of(right if isinstance(left, Attribute) else left)
        for side, place in ((left, at), (right, right_at)):
            if isinstance(side, Attribute) and type_ is Type.INSTANT:
                raise wrong(place, "an attribute is no date", "compare it with a text or a number")
        if not isinstance(right, Attribute) and _type_of(right) is not type_:
            raise wrong(right_at, f"{_called(right)} is {_type_of(right).value}, expected {type_.value}")
        return Compare(left, sign, right, type_, at)

    def _membership(self, left: nodes.Expr, right: nodes.Expr) -> Condition:
        at = start(left)
        if isinstance(left, nodes.Const) and isinstance(left.value, str):
            value = (
                self._value(right) if not is_literal(right) and not isinstance(right, nodes.List) else None
            )
            if value is not None:
                self._must_be_text(value, start(right), "'… in' a field")
                return Like(value, TextTest.CONTAINS, text_constant(left, "the text looked for"), at)
            raise wrong(at, "two constants are compared", "compare a field with a value")
        value = self._value(left)
        if not isinstance(right, nodes.List | nodes.Tuple):
            hint = (
                f"write [{_quoted(right.value)}]"
                if is_literal(right) and isinstance(right, nodes.Const)
                else ""
            )
            raise wrong(start(right), "'in' needs a list of values", hint or 'for example ["a", "b"]')
        if not right.items:
            raise wrong(
                int(right.lineno), "the list is empty: nobody would be selected", "name at least one value"
            )
        pairs = [self._fitting(value, item) for item in right.items]
        types = {type_ for type_, _ in pairs}
        if len(types) > 1:
            raise wrong(
                start(right.items[1]), "the list mixes texts, numbers or true/false", "use one type only"
            )
        return OneOf(value, tuple(dict.fromkeys(found for _, found in pairs)), types.pop(), at)

    def _fitting(self, value: Value, node: nodes.Expr) -> tuple[Type, Constant]:
        """The literal, checked against the type and the levels of what it is compared with."""
        at, called = start(node), _called(value)
        if not is_literal(node):
            raise wrong(at, f"{called} can be compared with a list of constants only")
        type_, found = constant(node, f"what {called} is compared with")
        if isinstance(value, Attribute):
            return type_, found
        wanted = _type_of(value)
        if wanted is Type.INSTANT and isinstance(found, str):
            return wanted, instant(found, at)
        if type_ is not wanted:
            hint = _level_hint(value)
            raise wrong(at, f"{called} is {wanted.value} (got {type_.value}, expected {wanted.value})", hint)
        levels = FIELDS[value.name].levels if isinstance(value, FieldValue) else ()
        if levels and found not in levels:
            raise wrong(at, f"{called} has no level {found!r}", _level_near(str(found), levels))
        return type_, found

    # --- tests ---------------------------------------------------------------------------------------

    def _test(self, node: nodes.Test) -> Condition:
        at, name = start(node), node.name
        if name not in _TESTS:
            hint = (
                f"write 'is {_FOREIGN_TESTS[name]}'" if name in _FOREIGN_TESTS else did_you_mean(name, _TESTS)
            )
            raise wrong(_word_place(node), f"unknown test 'is {name}'", hint)
        value = self._value(node.node)
        arguments = [*(node.args or ()), *(pair.value for pair in node.kwargs or ())]
        wanted = 0 if name in ("missing", "present") else 1
        if len(arguments) != wanted or node.kwargs or node.dyn_args or node.dyn_kwargs:
            example = (
                f"is {name}" if not wanted else f'is {name}("{"90d" if name.endswith("than") else "…"}")'
            )
            raise wrong(
                _word_place(node),
                f"'is {name}' takes {wanted or 'no'} argument{'s' if not wanted else ''}",
                f"write '{example}'",
            )
        if name == "missing":
            return self._missing(value, at)
        if name == "present":
            return Not(self._missing(value, at), at)
        if name in ("older_than", "newer_than"):
            return self._age(value, name, arguments[0], at)
        self._must_be_text(value, at, f"'is {name}'")
        return Like(value, TextTest(name), text_constant(arguments[0], f"what 'is {name}' looks for"), at)

    def _missing(self, value: Value, at: int) -> Condition:
        if isinstance(value, Measured) and value.measure is not Measure.LAST:
            raise wrong(at, f"{_called(value)} is never missing: it is 0 for never", "compare it with 0")
        return Missing(value, at)

    def _age(self, value: Value, name: str, length: nodes.Expr, at: int) -> Condition:
        if isinstance(value, Attribute) or _type_of(value) is not Type.INSTANT:
            dates = ", ".join(field.name for field in FIELDS.values() if field.type is Type.INSTANT)
            got = "an attribute" if isinstance(value, Attribute) else _type_of(value).value
            raise wrong(at, f"'is {name}' needs a date (got {got})", f"dates: {dates}, last(…)")
        kind = Older if name == "older_than" else Newer
        return kind(value, duration(length, f"what 'is {name}' takes"), at)

    def _must_be_text(self, value: Value, at: int, what: str) -> None:
        if not isinstance(value, Attribute) and _type_of(value) is not Type.TEXT:
            raise wrong(at, f"{what} needs a text (got {_type_of(value).value})")

    # --- names and calls -------------------------------------------------------------------------------

    def _value(self, node: nodes.Expr) -> Value:
        if not isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem | nodes.Call):
            raise wrong(
                start(node),
                "a field or a function is needed here",
                "conditions cannot be compared; join them with 'and', 'or', 'not'",
            )
        found = self._anything(node)
        if isinstance(found, FieldValue | Attribute | Measured):
            return found
        raise wrong(
            start(node), f"{_call_name(node)}(…) is already true or false", "use it alone, or after 'not'"
        )

    def _anything(self, node: nodes.Expr) -> Condition | Value:
        match node:
            case nodes.Name():
                return self._name(node)
            case nodes.Getattr() | nodes.Getitem():
                return self._attribute(node)
            case nodes.Call():
                return self._call(node)
        raise wrong(start(node), "this is not used in segments")

    def _name(self, node: nodes.Name) -> Value:
        if node.name in FIELDS:
            return FieldValue(node.name, start(node))
        at = start(node)
        if node.name in FUNCTIONS:
            raise wrong(at, f"{node.name} is a function", f"for example {FUNCTIONS[node.name].usage}")
        if node.name == "attributes":
            raise wrong(at, "attributes needs a name", "for example attributes.industry")
        if node.name.lower() in ("null", "nil"):
            raise wrong(at, f"unknown name {node.name!r}", "write 'is missing'")
        raise wrong(at, f"unknown name {node.name!r}", _name_hint(node.name))

    def _attribute(self, node: nodes.Getattr | nodes.Getitem) -> Value:
        at = start(node)
        if not (isinstance(node.node, nodes.Name) and node.node.name == "attributes"):
            what = "a list or a bracket" if not isinstance(node.node, nodes.Name) else repr(node.node.name)
            raise wrong(at, f"{what} has no parts", "only attributes.<name> has a dot")
        if isinstance(node, nodes.Getattr):
            return Attribute(node.attr, at)
        name = text_constant(node.arg, "an attribute's name")
        return Attribute(name, at)

    def _call(self, node: nodes.Call) -> Condition | Value:
        at = start(node)
        if not isinstance(node.node, nodes.Name):
            raise wrong(
                at,
                "only functions are called, not what belongs to a value",
                f"functions: {', '.join(FUNCTIONS)}",
            )
        name = node.node.name
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS, limit=len(FUNCTIONS))
            raise wrong(
                at,
                f"{name} is a field, not a function" if name in FIELDS else f"unknown function {name!r}",
                f"write {name} without brackets" if name in FIELDS else hint,
            )
        function = FUNCTIONS[name]
        return function.build(Call(name, at, self._arguments(node, name), self.vocabulary))

    def _arguments(self, node: nodes.Call, name: str) -> dict[str, nodes.Expr]:
        function, at = FUNCTIONS[name], start(node)
        example = f"for example {function.usage}"
        if node.dyn_args or node.dyn_kwargs:
            raise wrong(at, f"{name} is called with '*', expected plain arguments", example)
        if len(node.args) > function.positional:
            extra = node.args[function.positional]
            names = ", ".join(function.parameters[function.positional :])
            raise wrong(
                start(extra), f"too many arguments for {name}", f"name it: {names}" if names else example
            )
        given = dict(zip(function.parameters, node.args, strict=False))
        for pair in node.kwargs:
            place = self._keyword_place(pair.value)
            if pair.key not in function.parameters:
                raise wrong(
                    place, f"{name} takes no {pair.key!r}", did_you_mean(pair.key, function.parameters)
                )
            if pair.key in given:
                raise wrong(place, f"{pair.key!r} is given twice")
            given[pair.key] = pair.value
        for parameter in function.parameters[: function.required]:
            if parameter not in given:
                raise wrong(at, f"{name} needs a {parameter}", example)
        return given

    def _keyword_place(self, value: nodes.Expr) -> int:
        places: dict[int, int] = self.keyword_places  # type: ignore[assignment]
        return max((found for begin, found in places.items() if begin <= start(value)), default=start(value))


def _word_place(node: nodes.Test) -> int:
    """The `is` of a test."""
    return int(node.lineno)


def _type_of(value: Value) -> Type:
    match value:
        case FieldValue():
            return FIELDS[value.name].type
        case Measured():
            return Type.INSTANT if value.measure is Measure.LAST else Type.NUMBER
    return Type.TEXT


def _called(value: Value) -> str:
    match value:
        case FieldValue():
            return value.name
        case Measured():
            return f"{value.measure.value}(…)"
    return f"attributes.{value.name}"


def _call_name(node: nodes.Expr) -> str:
    inner = node.node if isinstance(node, nodes.Call) else node
    return inner.name if isinstance(inner, nodes.Name) else "this"


def _quoted(text: object) -> str:
    return f'"{text}"' if isinstance(text, str) else str(text)


def _level_hint(value: Value) -> str:
    levels = FIELDS[value.name].levels if isinstance(value, FieldValue) else ()
    return f"levels: {', '.join(levels)}" if levels else ""


def _level_near(given: str, levels: Iterable[str]) -> str:
    same = [level for level in levels if level.lower() == given.lower()]
    close = same[0] if same else near_miss(given, levels)
    listed = f"levels: {', '.join(levels)}"
    return f"did you mean {close!r}? {listed}" if close else listed


def _name_hint(name: str) -> str:
    known = [*FIELDS, *FUNCTIONS, "attributes", "true", "false", "none"]
    if name.lower() in known:
        return f"did you mean {name.lower()!r}?"
    if (close := near_miss(name, known)) is not None:
        return f"did you mean {close!r}?"
    return f"texts stand in quotes; a value of your own is written attributes.{name}"
