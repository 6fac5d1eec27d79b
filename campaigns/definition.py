"""`campaigns/*.yaml`: what a campaign says, to whom, when, and what it is for."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from core.settings import HeaderText, Name
from core.units import CronText, Duration, WallTime, parse_zone
from core.yaml_files import Section


class Audience(Section):
    """Whom it is for: one segment, less others."""

    segment: Name
    exclude: tuple[Name, ...] = ()


class Send(Section):
    """What is said, and by whom."""

    template: Annotated[str, StringConstraints(min_length=1)]
    sender: Name = Field(alias="from")
    subject: HeaderText | None = None  # None: the template's own
    transport: Name | None = None  # None: the first of the settings


def _zone_or_recipient(value: object) -> str:
    return "recipient" if value == "recipient" else parse_zone(value)


class Schedule(Section):
    """When: at one time, or again and again. Without a schedule a broadcast starts when it is applied."""

    at: WallTime | None = None
    cron: CronText | None = None
    zone: Annotated[str, BeforeValidator(_zone_or_recipient)] | None = None  # None: the organisation's

    @model_validator(mode="after")
    def _one_of(self) -> "Schedule":
        if (self.at is None) == (self.cron is None):
            raise ValueError("expected exactly one of 'at' and 'cron'")
        if self.cron is not None and self.zone == "recipient":
            raise ValueError("a 'cron' schedule needs one zone (got 'recipient', expected an IANA time zone)")
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


class CampaignFile(Section):
    """One campaign file."""

    kind: Literal["broadcast", "recurring"]
    description: str = ""
    topic: Name
    audience: Audience
    send: Send
    schedule: Schedule | None = None
    goal: Goal | None = None
    cost: Cost = Cost()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _kind_fits_schedule(self) -> "CampaignFile":
        repeats = self.schedule is not None and self.schedule.cron is not None
        if self.kind == "recurring" and not repeats:
            raise ValueError("kind 'recurring' needs a 'schedule' with 'cron'")
        if self.kind == "broadcast" and repeats:
            raise ValueError("a 'cron' schedule needs kind 'recurring' (got 'broadcast')")
        return self

    def stored(self) -> dict[str, Any]:
        """The definition as plain JSON values; `model_validate` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
