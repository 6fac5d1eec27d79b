"""The steps of a sequence file: what each of them does, and where it leads."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator

from core.field_types import HeaderText, Name
from core.local_time import Span, Weekday, parse_span
from core.pressure_settings import ClockTime
from core.units import Duration, Share, Unfit, parse_duration, parse_zone, quoted
from core.yaml_files import Section
from segments.definition import Expression

#: What every step is one of, in the order in which docs tell of them.
ACTIONS: Final = ("send", "wait", "branch", "split", "task", "update", "webhook", "exit")
#: The owner of a task who is the customer's own.
OWNER: Final = "owner"


#: A rule in the language of segments. It may name `given.…`, and `since="enrolment"` or `since="step"`.
Rule = Expression
Filled = Annotated[str, StringConstraints(min_length=1)]
Scalar = str | bool | int | float | None


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
