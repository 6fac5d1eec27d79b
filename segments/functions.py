"""The functions of the language: what each takes, and how a call becomes a part of the tree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from jinja2 import nodes

from core.names import did_you_mean
from core.units import parse_duration
from segments.literals import constant, text_constant
from segments.mistakes import wrong
from segments.places import start
from segments.tree import (
    Behaviour,
    Condition,
    Constant,
    Did,
    History,
    InSegment,
    Measure,
    Measured,
    Range,
    Response,
    Since,
    Subscribed,
    Type,
    Value,
)
from segments.vocabulary import Vocabulary

#: The activity name that means orders instead.
PURCHASE: Final = "purchase"
PURCHASE_PROPERTIES: Final = ("product", "category")
_ENDS: Final = frozenset({"from", "to"})


@dataclass(frozen=True, slots=True)
class Call:
    """A call as written: its arguments by the function's parameter names."""

    name: str
    at: int
    arguments: Mapping[str, nodes.Expr]
    vocabulary: Vocabulary

    def text(self, parameter: str) -> str | None:
        """A text argument, or None when it was not given."""
        node = self.arguments.get(parameter)
        return None if node is None else text_constant(node, f"{parameter} of {self.name}")

    def known(self, parameter: str, what: str, names: Mapping[str, object] | frozenset[str]) -> str | None:
        """A text argument that is one of `names`."""
        given = self.text(parameter)
        if given is not None and given not in names:
            raise wrong(start(self.arguments[parameter]), f"unknown {what} {given!r}", did_you_mean(given, names))
        return given

    def length(self, parameter: str) -> timedelta | None:
        """A duration argument."""
        node = self.arguments.get(parameter)
        return None if node is None else duration(node, f"{parameter} of {self.name}")


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `parameters` in order, `required` of them must be given; the others only by name
    (`positional` says how many may be given by place)."""

    parameters: tuple[str, ...]
    required: int
    positional: int
    build: Callable[[Call], Condition | Value]
    usage: str
    meaning: str


def duration(node: nodes.Expr, what: str) -> timedelta:
    """The duration a text literal names."""
    at = start(node)
    expected = f"{what} is a duration in quotes such as '30d'"
    if not isinstance(node, nodes.Const) or not isinstance(node.value, str):
        raise wrong(at, expected)
    try:
        return parse_duration(node.value)
    except ValueError as error:
        raise wrong(at, f"{expected} ({error})", "units: s, m (minutes), h, d, w") from None


def _behaviour(call: Call) -> Behaviour:
    name = call.text("name") or ""
    if not name:
        raise wrong(start(call.arguments["name"]), f"name of {call.name} is empty")
    within, before = call.length("within"), call.length("before")
    if within is not None and before is not None and before >= within:
        at = start(call.arguments["before"])
        raise wrong(
            at,
            "no time lies between: before is not shorter than within",
            "for example within='60d', before='30d'",
        )
    return Behaviour(name, within, before, _where(call, name), _since(call))


def _since(call: Call) -> Since | None:
    node = call.arguments.get("since")
    if node is None:
        return None
    if not call.vocabulary.passage:
        hint = "it belongs to rules of sequences; write within='30d'"
        raise wrong(start(node), "nothing began that 'since' could count from", hint)
    given = text_constant(node, f"since of {call.name}")
    known = [each.value for each in Since]
    if given not in known:
        raise wrong(start(node), f"since of {call.name} is {' or '.join(map(repr, known))}", did_you_mean(given, known))
    return Since(given)


def _where(call: Call, name: str) -> tuple[tuple[str, tuple[Constant | Range, ...]], ...]:
    node = call.arguments.get("where")
    if node is None:
        return ()
    if not isinstance(node, nodes.Dict) or not node.items:
        raise wrong(start(node), f'where of {call.name} names properties, such as {{"category": "paper"}}')
    found: dict[str, tuple[Constant | Range, ...]] = {}
    for pair in node.items:
        key = text_constant(pair.key, "a property's name")
        if name == PURCHASE and key not in PURCHASE_PROPERTIES:
            hint = did_you_mean(key, PURCHASE_PROPERTIES)
            raise wrong(start(pair.key), f"a purchase has no property {key!r}", hint)
        if key in found:
            raise wrong(start(pair.key), f"the property {key!r} is named twice", "give a list of values")
        found[key] = _property_values(pair.value, key, name == PURCHASE)
    return tuple(found.items())


def _property_values(node: nodes.Expr, key: str, only_text: bool) -> tuple[Constant | Range, ...]:
    listed = list(node.items) if isinstance(node, nodes.List | nodes.Tuple) else [node]
    if not listed:
        raise wrong(start(node), f"the list of values for {key!r} is empty")
    values: list[Constant | Range] = []
    for item in listed:
        if isinstance(item, nodes.Dict) and not only_text:
            values.append(_range(item, key))
            continue
        type_, value = constant(item, f"the value of {key!r}")
        if only_text and type_ is not Type.TEXT:
            raise wrong(start(item), f"{key} of a purchase is a text (got {type_.value})", "put it in quotes")
        values.append(value)
    return tuple(values)


def _range(node: nodes.Dict, key: str) -> Range:
    ends: dict[str, Decimal] = {}
    for pair in node.items:
        end = text_constant(pair.key, f"the end of a range of {key!r}")
        if end not in _ENDS or end in ends:
            raise wrong(start(pair.key), f"a range of {key!r} has a 'from', a 'to', or both (got {end!r})")
        type_, value = constant(pair.value, f"{end!r} of {key!r}")
        if not isinstance(value, Decimal):
            raise wrong(start(pair.value), f"{end!r} of {key!r} is a number (got {type_.value})")
        ends[end] = value
    found = Range(ends.get("from"), ends.get("to"))
    if not ends or (found.lowest is not None and found.highest is not None and found.lowest > found.highest):
        raise wrong(start(node), f"no number lies in this range of {key!r}", 'for example {"from": 7, "to": 8}')
    return found


def _did(call: Call) -> Condition:
    return Did(_behaviour(call), call.at)


def _measured(measure: Measure) -> Callable[[Call], Value]:
    return lambda call: Measured(measure, _behaviour(call), call.at)


def _latest(call: Call) -> Value:
    behaviour = _behaviour(call)
    if behaviour.name == PURCHASE:
        raise wrong(start(call.arguments["name"]), "latest is of activities, not of orders", "ask for total or count")
    return Measured(Measure.LATEST, behaviour, call.at)


def _history(response: Response) -> Callable[[Call], Condition]:
    def build(call: Call) -> Condition:
        campaigns = call.vocabulary.campaigns
        campaign = call.text("campaign") if campaigns is None else call.known("campaign", "campaign", campaigns)
        return History(response, campaign, call.length("within"), call.at)

    return build


def _in_segment(call: Call) -> Condition:
    return InSegment(call.known("name", "segment", call.vocabulary.segments) or "", call.at)


def _subscribed(call: Call) -> Condition:
    return Subscribed(call.known("topic", "topic", call.vocabulary.topics) or "", call.at)


_BEHAVIOUR: Final = ("name", "within", "before", "where", "since")
_CAMPAIGN: Final = ("campaign", "within")

FUNCTIONS: Final[Mapping[str, Function]] = {
    "did": Function(_BEHAVIOUR, 1, 1, _did, 'did("ticket_opened", within="30d")', "did it at least once"),
    "count": Function(
        _BEHAVIOUR,
        1,
        1,
        _measured(Measure.COUNT),
        'count("page_view", where={"category": "paper"}) >= 2',
        "how often; 0 for never",
    ),
    "total": Function(
        _BEHAVIOUR,
        1,
        1,
        _measured(Measure.TOTAL),
        'total("purchase", within="365d") > 5000',
        "the sum of the activities' values, or of the orders' amounts; 0 for never",
    ),
    "last": Function(
        _BEHAVIOUR,
        1,
        1,
        _measured(Measure.LAST),
        'last("page_view") is older_than("14d")',
        "when it was last done; missing for never",
    ),
    "latest": Function(
        _BEHAVIOUR,
        1,
        1,
        _latest,
        'latest("survey_answered", where={"survey": "nps"}) >= 9',
        "the value of the last one that has a value; missing for never",
    ),
    "received": Function(
        _CAMPAIGN,
        0,
        1,
        _history(Response.RECEIVED),
        'received("spring-paper")',
        "a message of the campaign was accepted for the customer and did not bounce",
    ),
    "opened": Function(
        _CAMPAIGN,
        0,
        1,
        _history(Response.OPENED),
        'opened("spring-paper")',
        "opened it, looked at it in the browser, or clicked in it; scanners do not count",
    ),
    "clicked": Function(
        _CAMPAIGN,
        0,
        1,
        _history(Response.CLICKED),
        'clicked("spring-paper", within="7d")',
        "clicked a link in it; scanners do not count",
    ),
    "responded": Function(
        _CAMPAIGN, 0, 1, _history(Response.RESPONDED), 'not responded("spring-paper")', "clicked, replied or converted"
    ),
    "converted": Function(
        _CAMPAIGN,
        0,
        1,
        _history(Response.CONVERTED),
        'converted("spring-paper")',
        "reached the campaign's goal within its time",
    ),
    "in_segment": Function(("name",), 1, 1, _in_segment, 'in_segment("key-accounts")', "is in another segment"),
    "subscribed": Function(
        ("topic",),
        1,
        1,
        _subscribed,
        'subscribed("promotions")',
        "agreed to the topic by e-mail, and nothing forbids it",
    ),
}
