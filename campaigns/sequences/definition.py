"""`campaigns/*.yaml` of `kind: sequence`: who passes through it, and the steps they pass."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from campaigns.definition import CampaignFile, Goal, Limits
from campaigns.sequences.steps import Rule, Step
from core.care_settings import EventName
from core.field_types import Name
from core.units import Duration, parse_duration
from core.yaml_files import Section

KIND: Final = "sequence"


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
    """What must not be exceeded.

    `max_audience`: of people who enter in one day where a segment brings them; above it the sequence is paused. Where
    people enter one by one it is a mistake.
    """


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

    def rules(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every rule of the file: its place and its text."""
        if self.enrol.where is not None:
            yield ("enrol", "where"), self.enrol.where
        if self.exit_when is not None:
            yield ("exit_when",), self.exit_when
        for name, step in self.steps.items():
            for place, fork in enumerate(step.branch or ()):
                if fork.when is not None:
                    yield ("steps", name, "branch", place, "when"), fork.when
            if step.wait is not None and step.wait.rule is not None:
                yield ("steps", name, "wait", "for"), step.wait.rule

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
