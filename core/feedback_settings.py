"""`feedback` in `clarion.yaml`: what bounces, complaints (S-3.11) and replies lead to."""

from typing import Annotated

from pydantic import Field, model_validator

from core.field_types import Name
from core.units import Duration, Share, parse_duration
from core.yaml_files import Section


class SoftBounces(Section):
    """Messages that came back as undeliverable for the time being, on different days, and none delivered since."""

    times: Annotated[int, Field(ge=1, le=1000)] = 5
    days: Annotated[int, Field(ge=1, le=1000)] = 3
    within: Duration = parse_duration("30d")  # as long, counted from the last of them, no bulk mail goes there

    @model_validator(mode="after")
    def _fits(self) -> "SoftBounces":
        if self.days > self.times:
            raise ValueError(f"{self.times} bounces cannot be on {self.days} days, expected days up to times")
        return self


class Complaints(Section):
    """Which share of a day's messages to one domain may be reported as spam."""

    warn: Share = 0.001
    pause: Share = 0.003  # from here on no bulk mail goes to the domain, for `lasts`
    at_least: Annotated[int, Field(ge=1)] = 2  # complaints; fewer are no rate
    lasts: Duration = parse_duration("7d")

    @model_validator(mode="after")
    def _fits(self) -> "Complaints":
        if self.warn > self.pause:
            raise ValueError("warn is above pause, expected it below or equal")
        return self


class FeedbackRules(Section):
    """What follows from what comes back."""

    soft: SoftBounces = SoftBounces()
    mailbox_full: SoftBounces = SoftBounces(within=parse_duration("90d"))
    complaints: Complaints = Complaints()
    replies_to: Name | None = None  # an entry of `staff`: replies of customers without an owner; None: nobody's
    answer_within: Duration = parse_duration("2d")  # when the task to answer a reply is due
