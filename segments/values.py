"""Names and calls: the parts of an expression that have a value, and the functions that are conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from core.names import did_you_mean, near_miss
from segments.fields import FIELDS
from segments.functions import FUNCTIONS, Call
from segments.literals import text_constant
from segments.mistakes import wrong
from segments.places import start
from segments.tree import Attribute, Condition, FieldValue, Measure, Measured, Type, Value
from segments.vocabulary import Vocabulary

#: Where a rule finds what a passage through a sequence began with.
GIVEN: Final = "given"


@dataclass(frozen=True, slots=True)
class Values:
    """Reads names and calls. `keyword_places`: where the name of each argument given by name stands."""

    vocabulary: Vocabulary
    keyword_places: Mapping[int, int]

    def value(self, node: nodes.Expr) -> Value:
        """The field, attribute or measure the node names."""
        if not isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem | nodes.Call):
            raise wrong(
                start(node),
                "a field or a function is needed here",
                "conditions cannot be compared; join them with 'and', 'or', 'not'",
            )
        found = self.anything(node)
        if isinstance(found, FieldValue | Attribute | Measured):
            return found
        raise wrong(start(node), f"{_call_name(node)}(…) is already true or false", "use it alone, or after 'not'")

    def anything(self, node: nodes.Expr) -> Condition | Value:
        """The value the node names, or the condition it calls."""
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
        if node.name == GIVEN and self.vocabulary.passage:
            raise wrong(at, "given needs a name", "for example given.order_number")
        if node.name.lower() in ("null", "nil"):
            raise wrong(at, f"unknown name {node.name!r}", "write 'is missing'")
        raise wrong(at, f"unknown name {node.name!r}", _name_hint(node.name))

    def _attribute(self, node: nodes.Getattr | nodes.Getitem) -> Value:
        at = start(node)
        owners = ("attributes", GIVEN) if self.vocabulary.passage else ("attributes",)
        if not (isinstance(node.node, nodes.Name) and node.node.name in owners):
            what = "a list or a bracket" if not isinstance(node.node, nodes.Name) else repr(node.node.name)
            if isinstance(node.node, nodes.Name) and node.node.name == GIVEN:
                raise wrong(at, "nothing is given here", "only rules of sequences may name given.…")
            dotted = " and ".join(f"{owner}.<name>" for owner in owners)
            raise wrong(at, f"{what} has no parts", f"only {dotted} has a dot")
        given = node.node.name == GIVEN
        if isinstance(node, nodes.Getattr):
            return Attribute(node.attr, at, given)
        return Attribute(text_constant(node.arg, "an attribute's name"), at, given)

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
            raise wrong(start(extra), f"too many arguments for {name}", f"name it: {names}" if names else example)
        given = dict(zip(function.parameters, node.args, strict=False))
        for pair in node.kwargs:
            place = self._keyword_place(pair.value)
            if pair.key not in function.parameters:
                raise wrong(place, f"{name} takes no {pair.key!r}", did_you_mean(pair.key, function.parameters))
            if pair.key in given:
                raise wrong(place, f"{pair.key!r} is given twice")
            given[pair.key] = pair.value
        for parameter in function.parameters[: function.required]:
            if parameter not in given:
                raise wrong(at, f"{name} needs a {parameter}", example)
        return given

    def _keyword_place(self, value: nodes.Expr) -> int:
        """Where the name of the argument stands: the last one before its value."""
        at = start(value)
        return max((place for begin, place in self.keyword_places.items() if begin <= at), default=at)


def type_of(value: Value) -> Type:
    """What the value is; an attribute counts as a text."""
    match value:
        case FieldValue():
            return FIELDS[value.name].type
        case Measured():
            return Type.INSTANT if value.measure is Measure.LAST else Type.NUMBER
    return Type.TEXT


def called_as(value: Value) -> str:
    """How messages call the value."""
    match value:
        case FieldValue():
            return value.name
        case Measured():
            return f"{value.measure.value}(…)"
    return f"{GIVEN if value.given else 'attributes'}.{value.name}"


def _call_name(node: nodes.Expr) -> str:
    inner = node.node if isinstance(node, nodes.Call) else node
    return inner.name if isinstance(inner, nodes.Name) else "this"


def _name_hint(name: str) -> str:
    known = [*FIELDS, *FUNCTIONS, "attributes", "true", "false", "none"]
    if name.lower() in known:
        return f"did you mean {name.lower()!r}?"
    if (close := near_miss(name, known)) is not None:
        return f"did you mean {close!r}?"
    return f"texts stand in quotes; a value of your own is written attributes.{name}"
