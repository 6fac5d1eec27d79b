"""An expression's text becomes a checked condition, or the list of everything that is wrong with it."""

import re
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from core.names import did_you_mean
from segments.comparisons import comparison, missing, must_be_text, quoted
from segments.fields import FIELDS
from segments.functions import duration
from segments.literals import is_literal, text_constant
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
    FieldValue,
    Like,
    Measured,
    Newer,
    Not,
    Older,
    Operator,
    TextTest,
    Type,
    Value,
)
from segments.values import Values, called_as, type_of
from segments.vocabulary import Vocabulary

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
        return Reading(_Checker(Values(vocabulary, source.keyword_places)).condition(source.tree))
    except Wrong as caught:
        return Reading(None, tuple(sorted(set(caught.mistakes), key=lambda mistake: mistake.at)))


@dataclass(frozen=True, slots=True)
class _Checker:
    values: Values

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
                return comparison(node, self.values)
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
        before: nodes.Expr | None = None
        for part in reversed(chain):
            try:
                parts.append(self._part(part, before))
            except Wrong as caught:
                mistakes += caught.mistakes
            before = part
        if mistakes:
            raise Wrong(*mistakes)
        return tuple(parts)

    def _part(self, node: nodes.Expr, before: nodes.Expr | None) -> Condition:
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and isinstance(before, nodes.Compare):
            hint = f'compare again, or list the values: … in ["…", {quoted(node.value)}]'
            raise wrong(start(node), "a text alone is neither true nor false", hint)
        return self.condition(node)

    def _bare(self, node: nodes.Expr) -> Condition:
        """A function that is a condition, or an attribute that is true."""
        at = start(node)
        if is_literal(node) or isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
            raise wrong(at, "a condition is needed here", 'for example tier == "top"; true selects everybody')
        found = self.values.anything(node)
        if isinstance(found, Attribute):
            return Compare(found, Operator.EQUAL, True, Type.FLAG, at)
        if isinstance(found, FieldValue | Attribute | Measured):
            name = called_as(found)
            or_present = f", or write '{name} is present'" if isinstance(found, FieldValue) else ""
            message = f"{name} is {type_of(found).value}, expected a condition"
            raise wrong(at, message, f"compare it{or_present}")
        return found

    # --- tests ---------------------------------------------------------------------------------------

    def _test(self, node: nodes.Test) -> Condition:
        at, name = start(node), node.name
        if name not in _TESTS:
            foreign = _FOREIGN_TESTS.get(name)
            hint = f"write 'is {foreign}'" if foreign else did_you_mean(name, _TESTS)
            raise wrong(_word_place(node), f"unknown test 'is {name}'", hint)
        value = self.values.value(node.node)
        argument = _only_argument(node)
        if argument is None:
            return missing(value, at) if name == "missing" else Not(missing(value, at), at)
        if name in ("older_than", "newer_than"):
            return self._age(value, name, argument, at)
        must_be_text(value, at, f"'is {name}'")
        return Like(value, TextTest(name), text_constant(argument, f"what 'is {name}' looks for"), at)

    def _age(self, value: Value, name: str, length: nodes.Expr, at: int) -> Condition:
        if isinstance(value, Attribute) or type_of(value) is not Type.INSTANT:
            dates = ", ".join(field.name for field in FIELDS.values() if field.type is Type.INSTANT)
            got = "an attribute" if isinstance(value, Attribute) else type_of(value).value
            raise wrong(at, f"'is {name}' needs a date (got {got})", f"dates: {dates}, last(…)")
        kind = Older if name == "older_than" else Newer
        return kind(value, duration(length, f"what 'is {name}' takes"), at)


def _word_place(node: nodes.Test) -> int:
    """The `is` of a test."""
    return int(node.lineno)


def _only_argument(node: nodes.Test) -> nodes.Expr | None:
    """The one argument of a test; None for the tests that take none."""
    arguments: list[nodes.Expr] = node.args or []
    named = node.kwargs or node.dyn_args or node.dyn_kwargs
    if node.name in ("missing", "present"):
        if arguments or named:
            raise wrong(_word_place(node), f"'is {node.name}' takes no argument", f"write 'is {node.name}'")
        return None
    if len(arguments) != 1 or named:
        example = "90d" if node.name.endswith("than") else "…"
        message = f"'is {node.name}' takes one argument"
        raise wrong(_word_place(node), message, f"write 'is {node.name}(\"{example}\")'")
    return arguments[0]
