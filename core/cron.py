"""When five-field schedules are due, by the clock of their zone.

Day of month and day of week both have to fit. When clocks change, the rules of `core.local_time` hold: a time that is
skipped comes once, with the offset before the change; a time that is repeated comes once, the first time (S-8.2).
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from core.units import CRON_FIELDS, cron_number, local_instant

_DAY: Final = timedelta(days=1)
#: From so many times a day on it is worth asking whether clocks change on it.
_MANY: Final = 48
#: A day that fits comes within 28 years, but for a century whose last year is no leap year: 29 February on a Monday.
_HORIZON: Final = timedelta(days=366 * 41)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What each field lets pass; days of the week from Monday, 0."""

    times: tuple[time, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def fits(self, day: date) -> bool:
        """Whether it is due on the day."""
        return day.day in self.days and day.month in self.months and day.weekday() in self.weekdays


def next_time(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first time of `cron` in `zone` after an instant (UTC); None: it never comes, such as on 30 February."""
    fields = _fields(cron)
    # From the day before: what it skipped may have been moved past `after`.
    day = after.astimezone(ZoneInfo(zone)).date() - _DAY
    last = day + _HORIZON
    while day <= last:
        found = _first(_times(cron, zone, day), after) if fields.fits(day) else None
        if found is not None:
            following = _first(_times(cron, zone, day + _DAY), after) if fields.fits(day + _DAY) else None
            return min(found, following or found)
        day = _onward(fields, day)
    return None


def last_due(cron: str, zone: str, after: datetime, now: datetime) -> datetime | None:
    """The last time of `cron` in `zone` after `after` and not after `now` (UTC); None when there is none."""
    fields = _fields(cron)
    # From the day after: where clocks go back past midnight, its first minutes may be over.
    day = now.astimezone(ZoneInfo(zone)).date() + _DAY
    first = max(after.astimezone(ZoneInfo(zone)).date() - _DAY, day - _HORIZON)
    while day >= first:
        found = _last(_times(cron, zone, day), now) if fields.fits(day) else None
        if found is not None:
            before = _last(_times(cron, zone, day - _DAY), now) if fields.fits(day - _DAY) else None
            latest = max(found, before or found)
            return latest if latest > after else None
        day = _backward(fields, day)
    return None


def _onward(fields: _Fields, day: date) -> date:
    """The next day, or the next month's first where the month does not fit."""
    if day.month in fields.months:
        return day + _DAY
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _backward(fields: _Fields, day: date) -> date:
    return day - _DAY if day.month in fields.months else day.replace(day=1) - _DAY


def _first(times: tuple[datetime, ...], after: datetime) -> datetime | None:
    place = bisect_right(times, after)
    return times[place] if place < len(times) else None


def _last(times: tuple[datetime, ...], now: datetime) -> datetime | None:
    place = bisect_right(times, now)
    return times[place - 1] if place else None


@dataclass(frozen=True, slots=True)
class Times:
    """How often a schedule is due within some time, and when first and last (UTC)."""

    count: int
    first: datetime
    last: datetime


def times_within(cron: str, zone: str, begin: datetime, end: datetime) -> Times | None:
    """The times of `cron` in `zone` from `begin` on and before `end`, counted day by day; None when there is none."""
    fields = _fields(cron)
    place = ZoneInfo(zone)
    day, last = begin.astimezone(place).date() - _DAY, end.astimezone(place).date() + _DAY
    days: list[tuple[datetime, ...]] = []
    while day <= last:
        days += [_times(cron, zone, day)] if fields.fits(day) else []
        day = _onward(fields, day)
    if any(later[0] <= sooner[-1] for sooner, later in pairwise(days)):  # a clock change moved some to the next day
        days = [tuple(sorted(set().union(*days)))]
    parts = [times[bisect_left(times, begin) : bisect_left(times, end)] for times in days]
    parts = [times for times in parts if times]
    return Times(sum(map(len, parts)), parts[0][0], parts[-1][-1]) if parts else None


@lru_cache(maxsize=128)
def _times(cron: str, zone: str, day: date) -> tuple[datetime, ...]:
    """The instants of one day's times, in the order in which they come (UTC)."""
    times = _fields(cron).times
    if len(times) > _MANY and (offset := _offset_all_day(zone, day)) is not None:
        return tuple(datetime.combine(day, at, UTC) - offset for at in times)
    return tuple(sorted({local_instant(datetime.combine(day, at), zone) for at in times}))


def _offset_all_day(zone: str, day: date) -> timedelta | None:
    """The distance from UTC; None on days on which it changes."""
    hours = (datetime.combine(day, time(), ZoneInfo(zone)) + timedelta(hours=number) for number in range(25))
    offsets = {(at.utcoffset(), at.replace(fold=1).utcoffset()) for at in hours}
    first, repeated = next(iter(offsets))
    return first if len(offsets) == 1 and first == repeated else None


@lru_cache(maxsize=256)
def _fields(cron: str) -> _Fields:
    texts = cron.lower().split()
    allowed = [
        frozenset(number for part in text.split(",") for number in _numbers(part, low, high, words))
        for text, (_, low, high, words) in zip(texts, CRON_FIELDS, strict=True)
    ]
    minutes, hours, days, months, weekdays = allowed
    times = tuple(time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes))
    return _Fields(times, days, months, weekdays)


def _numbers(part: str, low: int, high: int, words: tuple[str, ...]) -> range:
    body, _, step = part.partition("/")
    first, _, last = body.partition("-")
    start = low if body == "*" else cron_number(first, low, words)
    end = high if body == "*" else cron_number(last or first, low, words)
    if start is None or end is None:
        raise ValueError(f"not a schedule that parse_cron read (got {part!r})")
    return range(start, end + 1, int(step or 1))
