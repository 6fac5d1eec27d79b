"""`campaigns/*.yaml` of `kind: sequence`: who passes through it, and the steps they pass."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator

from campaigns.definition import CampaignFile, Goal, Limits
from core.care_settings import EventName
from core.field_types import HeaderText, Name
from core.local_time import Span, Weekday, parse_span
from core.pressure_settings import ClockTime
from core.units import Duration, Share, Unfit, parse_duration, parse_zone, quoted
from core.yaml_files import Section

KIND: Final = "sequence"
#: What every step is one of, in the order in which docs tell of them.
ACTIONS: Final = ("send", "wait", "branch", "split", "task", "update", "webhook", "exit")
#: The owner of a task who is the customer's own.
OWNER: Final = "owner"


def _as_rule(given: object) -> object:
    """YAML reads `true` without quotes as a truth value, which is a rule as well."""
    return str(given).lower() if isinstance(given, bool) else given


#: A rule in the language of segments. It may name `given.…`, and `since="enrolment"` or `since="step"`.
Rule = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True), BeforeValidator(_as_rule)]
Filled = Annotated[str, StringConstraints(min_length=1)]
Scalar = str | bool | int | float | None


class After(Section):
    """Who passed through may do so again, so long after the last beginning."""

    after: Duration


class Enrol(Section):
    """Who enters: members of a segment, who did something, or who is named from outside."""

    segment: Name | None = None
    exclude: tuple[Name, ...] = ()
    mode: Literal["live", "once"] = "live"  # of a segment: whoever comes to be a member, or who is one at the start
    look_every: Duration = parse_duration("10m")  # how often a live segment is looked at
    event: EventName | None = None  # an activity
    where: Rule | None = None  # of an event: a rule on the customer and the activity, as `given.…`
    by: Literal["api"] | None = None
    key: EventName | None = None  # the property that tells passages apart, such as an order's number
    again: Literal["never", "always"] | After = "never"  # whether one customer (and key) enters more than once

    @model_validator(mode="after")
    def _one_way(self) -> "Enrol":
        ways = [name for name in ("segment", "event", "by") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"expected exactly one of 'segment', 'event' and 'by' (got {', '.join(ways) or 'none'})")
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        foreign = [name for name, way in _BELONGS_TO.items() if name in given and ways[0] not in way]
        if foreign:
            raise ValueError(f"{', '.join(map(repr, foreign))} means nothing beside {ways[0]!r}")
        if self.segment and self.again == "always":
            raise ValueError("who stays in the segment would begin again at once, expected 'never' or {after: 90d}")
        return self

    @property
    def again_after(self) -> timedelta | None:
        """How long after the last beginning; None: as `again` says."""
        return self.again.after if isinstance(self.again, After) else None


_BELONGS_TO: Final = {
    "exclude": ("segment",), "mode": ("segment",), "look_every": ("segment",), "where": ("event",),
    "key": ("event", "by"),
}  # fmt: skip


class SendDefaults(Section):
    """What its send steps do that do not say otherwise."""

    sender: Name | None = Field(None, alias="from")
    transport: Name | None = None


class SendStep(Section):
    """One mailing."""

    template: Filled
    sender: Name | None = Field(None, alias="from")  # None: as `send` of the sequence says
    subject: HeaderText | None = None  # None: the template's own
    transport: Name | None = None  # or a route; None: as `send` says, else the route `default` or first transport


def _step_zone(value: object) -> str:
    return "recipient" if value == "recipient" else parse_zone(value)


def _or_a_span(schema: dict[str, Any]) -> None:
    """Editors are told of `wait: 3d`."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string", "examples": ["3d", "72h"]}, whole]


class WaitStep(Section):
    """A pause: a length of time (`wait: 3d` says the same), until a time of day, or for something to come true."""

    model_config = ConfigDict(json_schema_extra=_or_a_span)

    span: Span | None = None  # days are calendar days where the recipient lives; hours are absolute
    until: ClockTime | None = None
    on: Annotated[tuple[Weekday, ...], Field(min_length=1)] | None = None  # None: any day
    zone: Annotated[str, BeforeValidator(_step_zone)] = "recipient"
    rule: Rule | None = Field(None, alias="for")
    look_every: Duration = parse_duration("10m")  # how often the rule is looked at, where no activity tells
    timeout: Span | None = None
    on_timeout: Name | None = None  # None: the step after it

    @model_validator(mode="after")
    def _one_kind(self) -> "WaitStep":
        kinds = [name for name, value in (("span", self.span), ("until", self.until), ("for", self.rule)) if value]
        if len(kinds) != 1:
            raise ValueError(f"expected exactly one of a span, 'until' and 'for' (got {', '.join(kinds) or 'none'})")
        if self.on is not None and self.until is None:
            raise ValueError("'on' names the days of 'until', expected a time of day")
        if self.rule is not None and self.timeout is None:
            raise ValueError("a wait 'for' something needs a 'timeout' such as '7d': it would have no end")
        if self.rule is None and (self.timeout is not None or self.on_timeout is not None):
            raise ValueError("'timeout' and 'on_timeout' belong to a wait 'for' something")
        return self

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        if isinstance(given, str):
            return {"span": parse_span(given)}
        return given


class Fork(Section):
    """One way out of a branch; without `when` it is everybody's who is left."""

    when: Rule | None = None
    go: Name


def _forks(forks: tuple[Fork, ...]) -> tuple[Fork, ...]:
    for place, fork in enumerate(forks, start=1):
        if fork.when is None and place < len(forks):
            raise ValueError(f"the fork without 'when' takes everybody, expected it last (got place {place})")
    return forks


class TaskStep(Section):
    """Something an employee does."""

    title: HeaderText
    body: str = ""
    owner: Name | None = None  # an entry of `staff`, or `owner`: the customer's own; None: nobody's yet
    due: Span | None = None  # from when the step comes


class WebhookStep(Section):
    """A call of another system."""

    endpoint: Name  # an entry of `endpoints` in clarion.yaml
    extra: dict[str, JsonValue] = Field({}, alias="with")


class Step(Section):
    """One step. It is called as its key says, for as long as people pass it."""

    send: SendStep | None = None
    wait: WaitStep | None = None
    branch: Annotated[tuple[Fork, ...], Field(min_length=1)] | None = None  # the first that fits; none: the next step
    split: dict[Name, Share] | None = None  # by chance, for good: the same customer always goes the same way
    task: TaskStep | None = None
    update: dict[Filled, Scalar] | None = None  # attributes of the customer; null removes one
    webhook: WebhookStep | None = None
    exit: Name | None = None  # why
    next: Name | None = None  # None: the step after it in the file
    renamed_from: Name | None = None

    @field_validator("branch")
    @classmethod
    def _default_last(cls, forks: tuple[Fork, ...] | None) -> tuple[Fork, ...] | None:
        return None if forks is None else _forks(forks)

    @field_validator("split")
    @classmethod
    def _whole(cls, shares: dict[str, float] | None) -> dict[str, float] | None:
        if shares is not None and abs(sum(shares.values()) - 1) > 1e-9:
            raise Unfit(quoted(f"{sum(shares.values()):.4%}"), "shares that make 100%")
        return shares

    @field_validator("update")
    @classmethod
    def _something(cls, values: dict[str, Scalar] | None) -> dict[str, Scalar] | None:
        if values is not None and not values:
            raise Unfit("nothing", "attributes to set, such as {nurtured: true}")
        return values

    @model_validator(mode="after")
    def _one_action(self) -> "Step":
        named = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"expected exactly one of {', '.join(ACTIONS)} (got {', '.join(named) or 'none'})")
        if self.next is not None and named[0] in ("split", "exit"):
            raise ValueError(f"nothing comes after {named[0]!r} by 'next'")
        return self

    @property
    def action(self) -> str:
        """What the step does, one of `ACTIONS`."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @property
    def named_targets(self) -> tuple[str, ...]:
        """The steps it names as what comes then."""
        found = [fork.go for fork in self.branch or ()] + list(self.split or ())
        if self.wait is not None and self.wait.on_timeout is not None:
            found.append(self.wait.on_timeout)
        return tuple(dict.fromkeys([*found, *([self.next] if self.next is not None else [])]))

    @property
    def falls_through(self) -> bool:
        """Somebody may come to the step after it in the file, or to the end."""
        if self.next is not None or self.split is not None or self.exit is not None:
            return False
        return self.branch is None or self.branch[-1].when is not None


class Move(Section):
    """Who waits at a step goes on at another one."""

    move: Name


class SequenceGoal(Goal):
    """What counts as success; who reached it leaves the sequence."""

    ends: bool = True  # false: it is counted, and the passage goes on


class StepCost(Section):
    """What its messages cost."""

    per_message: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)] = Decimal(0)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None  # None: that of the tiers


class SequenceLimits(Limits):
    """What must not be exceeded. `max_audience`: of people who enter in one day; above it the sequence is paused."""


class SequenceFile(Section):
    """One file of a sequence."""

    kind: Literal["sequence"]
    description: str = ""
    topic: Name  # which consent its send steps need
    enrol: Enrol
    send: SendDefaults = SendDefaults()
    exit_when: Rule | None = None  # asked before every action: who fits leaves
    goal: SequenceGoal | None = None
    cost: StepCost = StepCost()
    limits: SequenceLimits = SequenceLimits()
    steps: Annotated[dict[Name, Step], Field(min_length=1, max_length=200)]
    # What becomes of people who wait at a step that an edit took away.
    when_removed: dict[Name, Move | Literal["exit", "finish"]] = Field({})
    # The same of people who wait at a step whose order among the others changed, where it matters to them.
    when_reordered: dict[Name, Move | Literal["stay", "exit", "finish"]] = Field({})

    model_config = ConfigDict(extra="forbid")

    @property
    def order(self) -> tuple[str, ...]:
        """The steps' names as they follow each other in the file."""
        return tuple(self.steps)

    @cached_property
    def following(self) -> Mapping[str, str | None]:
        """Step → what comes after it unless it goes elsewhere; None: the end."""
        after: list[str | None] = [*self.order[1:], None]
        return {name: self.steps[name].next or then for name, then in zip(self.order, after, strict=True)}

    def ways_out(self, name: str) -> tuple[str | None, ...]:
        """Every step that may come after this one; None: the end."""
        step = self.steps[name]
        if step.exit is not None:
            return ()
        named = step.named_targets
        return (*named, self.following[name]) if step.falls_through else named

    def rules(self) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
        """Every rule of the file: its place, its text, and whether it may ask what happened since the step began."""
        if self.enrol.where is not None:
            yield ("enrol", "where"), self.enrol.where, False
        if self.exit_when is not None:
            yield ("exit_when",), self.exit_when, True
        for name, step in self.steps.items():
            for place, fork in enumerate(step.branch or ()):
                if fork.when is not None:
                    yield ("steps", name, "branch", place, "when"), fork.when, True
            if step.wait is not None and step.wait.rule is not None:
                yield ("steps", name, "wait", "for"), step.wait.rule, True

    @property
    def sends(self) -> tuple[str, ...]:
        """The steps that send."""
        return tuple(name for name, step in self.steps.items() if step.send is not None)

    def stored(self) -> dict[str, Any]:
        """The definition as plain JSON values; `from_stored` reads it back, with its steps in their order."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"order": list(self.order)}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> "SequenceFile":
        """The definition that `stored()` described. JSON of the database forgets the order of names."""
        content = dict(stored)
        order = content.pop("order")
        content["steps"] = {name: content["steps"][name] for name in order}
        return cls.model_validate(content)


def campaign_schema() -> dict[str, Any]:
    """The JSON Schema of a campaign file, of whatever kind: what editors complete and check with."""
    campaign, sequence = (model.model_json_schema(by_alias=True) for model in (CampaignFile, SequenceFile))
    parts = campaign.pop("$defs", {}) | sequence.pop("$defs", {})
    is_sequence = {"properties": {"kind": {"const": KIND}}, "required": ["kind"]}
    return {"$defs": parts, "if": is_sequence, "then": sequence, "else": campaign}
