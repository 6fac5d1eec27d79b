"""Time at work: deadlines run while the office is open, and stand still at night, on days off and on holidays."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.inquiry_settings import Desk
from core.inquiry_settings import OfficeHours as Given
from core.local_time import WEEKDAYS
from core.settings import Settings
from core.units import local_instant
from suppression.quiet_hours import is_holiday

_DAY: Final = timedelta(days=1)
#: Of the longest deadline in the shortest office hours, one day a week: reached by no settings.
_MOST_DAYS: Final = 6000


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """When somebody is there to answer; midnight as `end` is the end of the day."""

    days: frozenset[int]  # Monday is 0
    start: time
    end: time
    zone: str
    country: str | None = None
    subdivision: str | None = None

    @classmethod
    def of(cls, desk: Desk, settings: Settings) -> "OfficeHours | None":
        """Those of the desk; None: every hour counts."""
        return None if desk.office_hours is None else cls._of(desk.office_hours, settings)

    @classmethod
    def usual(cls, settings: Settings) -> "OfficeHours":
        """Those of a desk that says nothing about them, in the organisation's zone."""
        return cls._of(Given(), settings)

    @classmethod
    def _of(cls, given: Given, settings: Settings) -> "OfficeHours":
        days = frozenset(WEEKDAYS.index(day) for day in given.days)
        zone = given.zone or settings.organisation.zone
        return cls(days, given.start, given.end, zone, given.country, given.subdivision)

    def opening(self, day: date) -> tuple[datetime, datetime] | None:
        """From when to when (UTC) somebody is there on the day; None: on no hour of it."""
        if day.weekday() not in self.days or (self.country and is_holiday(self.country, self.subdivision, day)):
            return None
        last = day + _DAY if self.end == time() else day
        opens, closes = (
            local_instant(datetime.combine(when, clock), self.zone)
            for when, clock in ((day, self.start), (last, self.end))
        )
        return (opens, closes) if opens < closes else None

    def after(self, begin: datetime, length: timedelta) -> datetime:
        """The instant (UTC) at which the office has been open for `length` since `begin`.

        A deadline that would end as the office closes ends then, not the next morning.
        """
        day, left = begin.astimezone(ZoneInfo(self.zone)).date(), length
        for _ in range(_MOST_DAYS):
            hours = self.opening(day)
            day += _DAY
            if hours is None or hours[1] <= begin:
                continue
            opens = max(hours[0], begin)
            if left <= hours[1] - opens:
                return opens + left
            left -= hours[1] - opens
        raise ValueError(f"the office is never open for {length} (hours of {self.zone})")


def later(hours: OfficeHours | None, begin: datetime, length: timedelta | None) -> datetime:
    """The instant `length` after `begin`, while the office is open; None: at once."""
    if length is None:
        return begin.astimezone(UTC)
    return begin.astimezone(UTC) + length if hours is None else hours.after(begin, length)


def opening_after(hours: OfficeHours | None, instant: datetime, days: int = 1) -> datetime:
    """When the office opens (UTC) on the first of its days that is at least so many days after that of `instant`.

    Without hours it is the same time of day, so many days later.
    """
    if hours is None:
        return instant.astimezone(UTC) + days * _DAY
    first = instant.astimezone(ZoneInfo(hours.zone)).date() + days * _DAY
    found = (hours.opening(first + number * _DAY) for number in range(_MOST_DAYS))
    return next(opening[0] for opening in found if opening is not None)
