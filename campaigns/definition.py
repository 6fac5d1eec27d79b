"""`campaigns/*.yaml`: what a campaign says, to whom, when, and what it is for."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from campaigns.rollout_file import Rollout
from core.care_settings import OnePer, PieceMemory
from core.errors import PlanError
from core.field_types import HeaderText, Name
from core.pressure_settings import WhenCapped
from core.units import CronText, Duration, Unfit, WallTime, format_duration, parse_duration, parse_zone, quoted
from core.yaml_files import Section

TRANSACTIONAL: Final = "transactional"
SEND_TO: Final = "send it to one person: clarion send CAMPAIGN --to KEY"


class Audience(Section):
    """Whom it is for: one segment, less others."""

    segment: Name
    exclude: tuple[Name, ...] = ()


class Send(Section):
    """What is said, and by whom."""

    template: Annotated[str, StringConstraints(min_length=1)]
    sender: Name = Field(alias="from")
    subject: HeaderText | None = None  # None: the template's own
    transport: Name | None = None  # or a route; None: the route `default`, else the first transport


def _zone_or_recipient(value: object) -> str:
    return "recipient" if value == "recipient" else parse_zone(value)


#: What becomes of a recurring campaign's time at which no scheduler ran: its run comes late, or not at all.
MISSED_ONCE: Final = "once"
MISSED_SKIP: Final = "skip"


def _missed_rule(value: object) -> str | timedelta:
    try:
        return value if value in (MISSED_ONCE, MISSED_SKIP) else parse_duration(value)
    except Unfit:
        raise Unfit(quoted(value), "'once', 'skip' or a duration such as '6h'") from None


#: Or a duration: not when it is noticed later than that.
Missed = Annotated[
    str | timedelta,
    BeforeValidator(_missed_rule),
    PlainSerializer(lambda rule: rule if isinstance(rule, str) else format_duration(rule), when_used="json"),
    WithJsonSchema({"type": "string", "examples": [MISSED_ONCE, MISSED_SKIP, "6h"]}),
]


class Schedule(Section):
    """When: at one time, or again and again. Without a schedule a broadcast starts when it is applied."""

    at: WallTime | None = None
    cron: CronText | None = None
    zone: Annotated[str, BeforeValidator(_zone_or_recipient)] | None = None  # None: the organisation's
    missed: Missed = MISSED_ONCE  # of a `cron`: what becomes of times that were missed; several are one
    when_passed: Literal["now", "next_day", "skip"] = "now"  # of `zone: recipient`: where the time is over already

    @model_validator(mode="after")
    def _one_of(self) -> "Schedule":
        if (self.at is None) == (self.cron is None):
            raise ValueError("expected exactly one of 'at' and 'cron'")
        if self.cron is not None and self.zone == "recipient":
            raise ValueError("a 'cron' schedule needs one zone (got 'recipient', expected an IANA time zone)")
        if self.cron is None and self.missed != MISSED_ONCE:
            raise ValueError("'missed' is for 'cron'; how late one time may be is said by 'limits.valid_for'")
        if self.zone != "recipient" and self.when_passed != "now":
            raise ValueError("'when_passed' is for 'zone: recipient': everybody else's time comes at one instant")
        return self


class Goal(Section):
    """What counts as success: an activity, or `purchase`, this soon after the message was accepted."""

    event: Annotated[str, StringConstraints(min_length=1)] = "purchase"
    within: Duration


class Cost(Section):
    """What the campaign costs."""

    fixed: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)] = Decimal(0)
    per_message: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)] = Decimal(0)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None  # None: that of the tiers


class Limits(Section):
    """What must not be exceeded."""

    max_audience: Annotated[int, Field(ge=1)] | None = None
    valid_for: Duration | None = None  # what is not handed over this long after its time is skipped as expired
    priority: Annotated[int, Field(ge=-100, le=100)] = 0  # where a cap lets only one go, the higher number does
    when_capped: WhenCapped | None = None  # `drop`, or `{defer: 3d}`; None: as `pressure` in clarion.yaml says
    one_per: OnePer | None = None  # of several at one address, …, one is written to; None: as `duplicates` says
    piece_memory: PieceMemory | None = None  # how long nobody gets the piece again; None: as `duplicates` says


def _keys_by_kind() -> dict[str, JsonValue]:
    """What editors are told of the keys that depend on the kind."""
    bulk_keys: list[JsonValue] = ["topic", "audience", "schedule"]
    is_transactional: JsonValue = {"properties": {"kind": {"const": TRANSACTIONAL}}, "required": ["kind"]}
    none_of_them: JsonValue = {"not": {"anyOf": [{"required": [key]} for key in bulk_keys]}}
    return {"if": is_transactional, "then": none_of_them, "else": {"required": ["topic", "audience"]}}


class CampaignFile(Section):
    """One campaign file.

    `broadcast` goes to an audience once, `recurring` again and again. `transactional` is owed to one person at a time,
    such as a receipt: each message is ordered by `clarion send --to`, so it has no topic, audience or schedule.
    """

    model_config = ConfigDict(json_schema_extra=_keys_by_kind())

    kind: Literal["broadcast", "recurring", "transactional"]
    description: str = ""
    topic: Name | None = None  # which consent it needs
    audience: Audience | None = None
    send: Send
    schedule: Schedule | None = None
    goal: Goal | None = None
    cost: Cost = Cost()
    limits: Limits = Limits()
    rollout: Rollout | None = None  # None: everybody at once

    @model_validator(mode="after")
    def _kind_fits_keys(self) -> "CampaignFile":
        people: dict[str, object] = {"topic": self.topic, "audience": self.audience}
        if self.kind != TRANSACTIONAL:
            missing = [name for name, value in people.items() if value is None]
            if missing:
                raise ValueError(f"kind {self.kind!r} needs {' and '.join(map(repr, missing))}")
            return self
        bulk = people | {"schedule": self.schedule, "limits.max_audience": self.limits.max_audience}
        bulk["rollout"] = self.rollout
        bulk |= {"limits.priority": self.limits.priority or None, "limits.when_capped": self.limits.when_capped}
        if needless := [name for name, value in bulk.items() if value is not None]:
            names = ", ".join(map(repr, needless))
            raise ValueError(f"a transactional campaign is sent to one person at a time, when ordered (got {names})")
        return self

    @model_validator(mode="after")
    def _kind_fits_schedule(self) -> "CampaignFile":
        repeats = self.schedule is not None and self.schedule.cron is not None
        if self.kind == "recurring" and not repeats:
            raise ValueError("kind 'recurring' needs a 'schedule' with 'cron'")
        if self.kind == "broadcast" and repeats:
            raise ValueError("a 'cron' schedule needs kind 'recurring' (got 'broadcast')")
        return self

    @property
    def is_sequence(self) -> bool:
        """It is a step of a sequence."""
        return isinstance(self, StepFile)

    @property
    def message_class(self) -> str:
        """`transactional` or `bulk`: whether a message is owed to its recipient (S-2.24)."""
        return TRANSACTIONAL if self.kind == TRANSACTIONAL else "bulk"

    @property
    def consent_topic(self) -> str:
        """What its recipients consented to; of a transactional campaign, to which nobody consents, its class."""
        return self.topic or TRANSACTIONAL

    @property
    def people(self) -> Audience:
        """Whom it is for.

        Raises:
            PlanError: it is transactional.
        """
        if self.audience is None:
            raise PlanError("a transactional campaign has no audience", hint=SEND_TO)
        return self.audience

    @model_validator(mode="after")
    def _valid_while_watched(self) -> "CampaignFile":
        if self.rollout and self.limits.valid_for and self.limits.valid_for <= self.rollout.watched:
            watched, valid = format_duration(self.rollout.watched), format_duration(self.limits.valid_for)
            raise ValueError(f"the stages are watched for {watched} before the last one (limits.valid_for is {valid})")
        return self

    def stored(self) -> dict[str, Any]:
        """The definition as plain JSON values; `model_validate` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class StepFile(CampaignFile):
    """A send step of a sequence, as its messages know it; no file of its own (`campaigns.sequences`)."""

    kind: Literal["sequence"]  # type: ignore[assignment]
    by_behaviour: bool = False  # who passes through the sequence was chosen by what they did

    @model_validator(mode="after")
    def _kind_fits_keys(self) -> "StepFile":
        return self
