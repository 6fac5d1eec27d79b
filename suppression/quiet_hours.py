"""When a recipient is left alone: quiet hours, weekends and holidays by their own clock and calendar (S-8.5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from holidays import HolidayBase

    from core.settings import Settings

#: Hold reason of a message that waits for the end of quiet hours, and skip reason of one that cannot wait so long.
QUIET_HOURS: Final = "quiet_hours"
QUIET_TOO_LONG: Final = "quiet_too_long"
#: Days in a row that nobody has holidays: a calendar that says so is not believed.
_MOST_DAYS: Final = 60
_SATURDAY: Final = 5
#: The language of holidays' names, as of everything we say; else the library takes that of the environment.
_NAMES: Final = "en_US"
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recipient lives, as far as that is known."""

    zone: str | None = None  # IANA
    country: str | None = None  # ISO 3166-1 alpha-2
    subdivision: str | None = None  # code or name: BY, Bayern


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The rule of one workspace. `start` after `end` spans midnight; None: no hours of the day are quiet."""

    start: time | None
    end: time | None
    weekends: bool
    holidays: bool
    zone: str  # of places without one
    country: str | None  # the same
    subdivision: str  # the attribute of customers that names it

    @classmethod
    def of(cls, settings: "Settings") -> "QuietHours | None":
        """The rule of the settings; None when nothing is quiet."""
        given = settings.quiet_hours
        if given.start is None and not given.weekends and not given.holidays:
            return None
        return cls(
            given.start, given.end, given.weekends, given.holidays,
            settings.organisation.zone, given.country, given.subdivision,
        )  # fmt: skip

    def place(self, zone: str | None, country: str | None, attributes: Any) -> Place:
        """The place of a customer with these columns; what is missing or unknown is the workspace's own."""
        named = attributes.get(self.subdivision) if isinstance(attributes, dict) and country else None
        known_zone = zone if zone in _zones() else self.zone
        return Place(known_zone, country or self.country, str(named) if named else None)

    def until(self, place: Place, at: datetime) -> datetime | None:
        """The first instant (UTC) after `at` that is not quiet there; None when `at` is not.

        By the clock on the wall: a quiet hour that a clock change repeats is quiet twice, one that it leaves out never
        begins. A calendar that knows no end is followed for two months.
        """
        zone, moment = ZoneInfo(place.zone or self.zone), at.astimezone(UTC)
        for _ in range(3 * _MOST_DAYS):
            ends = self._quiet_until(place, moment.astimezone(zone))
            if ends is None:
                break
            moment = _instant(ends, zone, moment)
        return moment if moment > at else None

    def _quiet_until(self, place: Place, local: datetime) -> datetime | None:
        """The wall time at which this stretch of quiet may end; None when it is not quiet."""
        today, clock = local.date(), local.time()
        if self._is_day_off(place, today):
            return datetime.combine(today + timedelta(days=1), time())
        if self.start is None or self.end is None:
            return None
        if self.start < self.end:
            return datetime.combine(today, self.end) if self.start <= clock < self.end else None
        if clock < self.end:
            return datetime.combine(today, self.end)
        return datetime.combine(today + timedelta(days=1), self.end) if clock >= self.start else None

    def why(self, place: Place, at: datetime) -> str | None:
        """Which rule makes `at` quiet there, such as `holiday: Good Friday`; None when none does."""
        local = at.astimezone(ZoneInfo(place.zone or self.zone))
        if self._quiet_until(place, local) is None:
            return None
        if not self._is_day_off(place, local.date()):
            return f"night, {self.start:%H:%M} to {self.end:%H:%M}"
        calendar = _calendar(place.country, place.subdivision)
        if self.holidays and calendar is not None and local.date() in calendar:
            return f"holiday: {calendar.get(local.date())}"
        return "weekend"

    def _is_day_off(self, place: Place, day: date) -> bool:
        if not self.weekends and not self.holidays:
            return False
        calendar = _calendar(place.country, place.subdivision)
        if self.holidays and calendar is not None and day in calendar:
            return True
        return self.weekends and _is_weekend(calendar, day)


def is_holiday(country: str, subdivision: str | None, day: date) -> bool:
    """Whether the day is a public holiday there; False where no calendar is known."""
    calendar = _calendar(country, subdivision)
    return calendar is not None and day in calendar


def _is_weekend(calendar: "HolidayBase | None", day: date) -> bool:
    """The day is part of the weekend there, and no working day in exchange for another one (as in China)."""
    if calendar is None:
        return day.weekday() >= _SATURDAY
    return calendar.is_weekend(day) and (day in calendar or not calendar.is_working_day(day))


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=512)
def _calendar(country: str | None, subdivision: str | None) -> "HolidayBase | None":
    """The calendar of the subdivision, else of the country; None where neither is known."""
    from holidays import country_holidays, list_supported_countries  # 50 ms, for who asks

    # The library looks any other name up among its own: a customer's country may be "utils".
    if country is None or country not in list_supported_countries():
        return None
    for part in [subdivision, None] if subdivision else [None]:
        try:
            return country_holidays(country, subdiv=part, language=_NAMES)
        except NotImplementedError:
            continue
    return None


def _instant(wall: datetime, zone: ZoneInfo, after: datetime) -> datetime:
    """The first instant (UTC) after `after` at which a clock there shows `wall`, or has just left it out."""
    for candidate in _candidates(wall, zone):
        if candidate > after:
            return candidate
    return after + _MINUTE  # a clock that was put back over `after` itself


def _candidates(wall: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:  # an ordinary time, or one that comes twice
        yield first
        yield second
        return
    moment = second  # left out: the clock jumps at the first minute that shows a later time
    while moment.astimezone(zone).replace(tzinfo=None) < wall:
        moment += _MINUTE
    yield moment
