"""`pressure` and `quiet_hours` in `clarion.yaml`: how often people are written to, and at what hours they are not."""

import re
from collections.abc import Collection, Iterator
from datetime import time
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema, model_validator

from core.field_types import Name
from core.names import did_you_mean
from core.units import Duration, Unfit, quoted
from core.yaml_files import Section

_CLOCK_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def parse_clock_time(value: object) -> time:
    """A time of day from `21:00`; `24:00` is midnight.

    Raises:
        Unfit: the value is anything else.
    """
    if isinstance(value, time):
        return value
    match = _CLOCK_TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None and value != "24:00":
        raise Unfit(quoted(value), "a time of day such as '21:00'")
    return time(int(match[1]), int(match[2])) if match else time()


ClockTime = Annotated[
    time,
    BeforeValidator(parse_clock_time),
    PlainSerializer(lambda value: f"{value:%H:%M}", when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["21:00"]}),
]


class Cap(Section):
    """At most so many messages in a length of time, or in each day, week (from Monday) or month.

    Days, weeks and months are those of the organisation's zone.
    """

    most: Annotated[int, Field(ge=1, le=1000)]
    within: Duration | None = None  # this or `each`
    each: Literal["day", "week", "month"] | None = None
    of: Literal["person", "household", "company"] = "person"  # all who share it are counted together
    topic: Name | None = None  # counts this topic's messages, and holds only them; None: of all topics
    channel: Literal["email"] | None = None  # None: of all channels
    reserve: Annotated[int, Field(ge=0)] = 0  # of `most`, left to transactional mail

    @model_validator(mode="after")
    def _one_period(self) -> "Cap":
        if (self.within is None) == (self.each is None):
            raise ValueError("expected exactly one of 'within' and 'each'")
        if self.reserve >= self.most:
            raise ValueError(f"reserve leaves nothing of most (got {self.reserve} of {self.most}, expected less)")
        if self.reserve and self.topic is not None:
            raise ValueError("transactional mail has no topic, expected 'reserve' at a cap of all topics")
        return self


class Deferred(Section):
    """Who is capped waits, at most this long; then the message is skipped."""

    defer: Duration


#: What becomes of a message that a cap holds.
WhenCapped = Literal["drop"] | Deferred


class Pressure(Section):
    """How often people are written to, over all campaigns. Transactional mail counts, and is never held."""

    caps: dict[Name, Cap] = Field({})
    when_capped: WhenCapped = "drop"  # or `{defer: 3d}`; a campaign's `limits.when_capped` goes before it


class QuietHours(Section):
    """When nobody gets bulk mail, by the recipient's own clock and calendar."""

    start: ClockTime | None = Field(None, alias="from")
    end: ClockTime | None = Field(None, alias="to")  # before `from`: the next day
    weekends: bool = False  # the days that are the weekend where the recipient lives
    holidays: bool = False  # public holidays where the recipient lives
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None  # of recipients without one
    subdivision: Annotated[str, StringConstraints(min_length=1)] = "subdivision"  # the attribute that names it

    @model_validator(mode="after")
    def _both_times(self) -> "QuietHours":
        if (self.start is None) != (self.end is None):
            raise ValueError("expected both of 'from' and 'to', or neither")
        if self.start is not None and self.start == self.end:
            raise ValueError("'from' and 'to' are the same time, expected two")
        return self


def pressure_mistakes(pressure: Pressure, topics: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Caps of topics that are none: place, text and hint."""
    for name, cap in pressure.caps.items():
        if cap.topic is not None and cap.topic not in topics:
            text = f"pressure.caps.{name}: there is no topic {cap.topic!r}, expected one of `topics`"
            yield ("pressure", "caps", name, "topic"), text, did_you_mean(cap.topic, topics)
