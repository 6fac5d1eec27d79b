"""`calendar` in `clarion.yaml`: who is told once a week what goes out, and the links to the feed."""

from collections.abc import Collection, Iterator
from datetime import time
from typing import Annotated

from pydantic import Field

from core.field_types import Name
from core.local_time import Weekday
from core.names import did_you_mean
from core.pressure_settings import ClockTime
from core.units import Duration, ZoneName, parse_duration
from core.yaml_files import Section


class WeeklyDigest(Section):
    """The mail that says what goes out in the days to come. A week in which no scheduler ran is told once, late."""

    to: Annotated[tuple[Name, ...], Field(min_length=1)]  # entries of `staff`
    on: Weekday = "mon"
    at: ClockTime = time(8)
    zone: ZoneName | None = None  # None: that of the organisation
    days: Annotated[int, Field(ge=1, le=92)] = 14


class CalendarSettings(Section):
    """What goes out when, as the staff is told."""

    digest: WeeklyDigest | None = None  # None: no mail, `clarion calendar` alone
    links: Annotated[int, Field(ge=1)] = 1  # raised by one, every link to the feed that was given out before ends
    links_last: Duration = parse_duration("365d")  # how long a link that is given out now is good


def calendar_mistakes(
    calendar: CalendarSettings, staff: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Employees who are nobody: place, text and hint."""
    for place, name in enumerate(calendar.digest.to if calendar.digest is not None else ()):
        if name not in staff:
            path = ("calendar", "digest", "to", place)
            yield path, f"calendar.digest: {name!r} is no entry of staff", did_you_mean(name, staff)
