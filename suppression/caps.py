"""The caps of one workspace, as values statements are made from."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from core.units import local_instant

if TYPE_CHECKING:
    from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` messages `within` a length of time, or in `each` day, week or month."""

    name: str
    most: int
    within: timedelta | None
    each: str | None
    of: str  # person, household or company
    topic: str | None
    channel: str | None
    reserve: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The caps of one workspace, and what becomes of messages of campaigns that do not say."""

    caps: tuple[Cap, ...] = ()
    defer: timedelta | None = None  # how long a capped message waits; None: it is skipped
    zone: str = "UTC"  # of days, weeks and months

    @classmethod
    def of(cls, settings: "Settings") -> "Rules":
        """The rules of the settings."""
        pressure = settings.pressure
        caps = tuple(Cap(name, **dict(cap)) for name, cap in pressure.caps.items())
        defer = None if pressure.when_capped == "drop" else pressure.when_capped.defer
        return cls(caps, defer, settings.organisation.zone)

    def about(self, topic: str, channel: str = "email") -> tuple[Cap, ...]:
        """The caps that may hold a message of this topic and channel."""
        return tuple(cap for cap in self.caps if cap.topic in (None, topic) and cap.channel in (None, channel))


def periods(each: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """The first instants (UTC) of the present day, week (from Monday) or month in `zone`, and of the next one."""
    today = now.astimezone(ZoneInfo(zone)).date()
    if each == "month":
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        first = today - timedelta(days=today.weekday() if each == "week" else 0)
        following = first + timedelta(days=7 if each == "week" else 1)
    return _midnight(first, zone), _midnight(following, zone)


def _midnight(day: date, zone: str) -> datetime:
    return local_instant(datetime.combine(day, time()), zone).astimezone(UTC)
