"""Time as people's own clocks show it: spans of calendar days, and the next time of day in a zone.

Everywhere the same two rules hold (S-8.2). A local time that a clock change skips is meant with the offset before the
change: half past two becomes half past three. One that a clock change repeats is meant once, the first time.

Callers reckon once for each distinct pair of zone and instant, not for each person.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from core.units import LONGEST, Unfit, format_duration, known_zones, local_instant, quoted

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)

#: A change of a zone's rules moves its clocks by an hour, hardly ever by two or three.
_RULES_MOVE_AT_MOST: Final = timedelta(hours=3)
_DAY: Final = timedelta(days=1)
_PART: Final = re.compile(r"([0-9]+)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_DAYS: Final = {"d": 1, "w": 7}


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time as people mean it: `days` leave the time of day as it is, `length` is absolute (S-8.3).

    In files it is a text such as `3d`, `72h`, `1w` or `1d 12h`.
    """

    days: int = 0
    length: timedelta = timedelta()

    @property
    def nominal(self) -> timedelta:
        """How long it is when no clock changes."""
        return timedelta(days=self.days) + self.length

    def __str__(self) -> str:
        left = int(self.length.total_seconds())
        parts = [f"{self.days}d"] if self.days else []
        for unit, seconds in reversed(_SECONDS.items()):  # 72h stays 72h: as days it would mean something else
            number, left = divmod(left, seconds)
            parts += [f"{number}{unit}"] if number else []
        return " ".join(parts) or "0s"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """A text in files and in JSON."""
        shown = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(parse_span, serialization=shown)

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "examples": ["3d", "72h", "1d 12h"]}


def parse_span(value: object) -> Span:
    """The span of a text such as `3d` or `1w` (calendar days), `72h`, `90m` (absolute), or `1d 12h` (both).

    Raises:
        Unfit: the value is anything else, not above zero, or above a hundred years.
    """
    if isinstance(value, Span):
        return value
    if not isinstance(value, str) or _PART.sub("", value).strip():
        raise Unfit(quoted(value), "a length of time such as '3d', '72h' or '1d 12h'")
    parts = [(int(number), unit) for number, unit in _PART.findall(value)]
    days = sum(number * _DAYS.get(unit, 0) for number, unit in parts)
    seconds = sum(number * _SECONDS.get(unit, 0) for number, unit in parts)
    if not 0 < days * 86_400 + seconds <= LONGEST.total_seconds():
        longest = format_duration(LONGEST)
        raise Unfit(quoted(value), f"a length of time above zero such as '3d', at most '{longest}' (a hundred years)")
    return Span(days, timedelta(seconds=seconds))


def later(base: datetime, span: Span, zone: str) -> datetime:
    """The instant `span` after `base` in `zone` (UTC): first its days by the wall clock, then its absolute length."""
    return _moved(base, span.days, zone) + span.length


def earlier(base: datetime, span: Span, zone: str) -> datetime:
    """The instant `span` before `base` in `zone` (UTC): first its days by the wall clock, then its absolute length."""
    return _moved(base, -span.days, zone) - span.length


def _moved(base: datetime, days: int, zone: str) -> datetime:
    if not days:
        return base.astimezone(UTC)  # not through the wall clock: of a repeated hour that would be the first
    wall = base.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local_instant(wall + timedelta(days=days), zone)


def next_local(
    base: datetime, zone: str, time_of_day: time, weekdays: Collection[Weekday] | None = None
) -> datetime:  # fmt: skip
    """The first instant, not before `base`, at which it is `time_of_day` in `zone` on one of the weekdays (UTC).

    `weekdays`: None for every day. A day that a place skipped counts as the one it was to be: of Friday, 30 December
    2011, in Apia nine o'clock came on Saturday.
    """
    meant = {WEEKDAYS.index(day) for day in weekdays} if weekdays is not None else set(range(7))
    if not meant:
        raise ValueError("expected at least one weekday")
    # From the day before: its time may have been moved past `base`. One more after the first: it may come sooner.
    day = base.astimezone(ZoneInfo(zone)).date() - _DAY
    found: list[datetime] = []
    while not found:
        found = [instant for instant in _instants(day, zone, time_of_day, meant) if instant >= base]
        day += _DAY
    found += [instant for instant in _instants(day, zone, time_of_day, meant) if instant >= base]
    return min(found)


def nearest_local(
    base: datetime, zone: str, time_of_day: time, weekdays: Collection[Weekday] | None = None
) -> datetime:  # fmt: skip
    """The instant nearest to `base` at which it is `time_of_day` in `zone` on one of the weekdays (UTC).

    It is `base` itself where clocks there show that, and else what was meant by `base` before the zone's rules changed.
    Where none is near enough for that, `base` had another zone: it stays.
    """
    meant = {WEEKDAYS.index(day) for day in weekdays} if weekdays is not None else set(range(7))
    today = base.astimezone(ZoneInfo(zone)).date()
    days = (today + number * _DAY for number in (-1, 0, 1))
    instants = [instant for day in days for instant in _instants(day, zone, time_of_day, meant)]
    nearest = min(instants, key=lambda instant: abs(instant - base), default=base)
    return nearest if abs(nearest - base) <= _RULES_MOVE_AT_MOST else base


def _instants(day: date, zone: str, time_of_day: time, meant: Collection[int]) -> list[datetime]:
    if day.weekday() not in meant:
        return []
    return [local_instant(datetime.combine(day, time_of_day), zone)]


def shown_in(zone: str, at: datetime, to: str = "minutes") -> str:
    """The instant as a clock in `zone` shows it, to `minutes` or `seconds`, with its offset, such as +01:00 or UTC."""
    there = at.astimezone(ZoneInfo(zone))
    wall = there.replace(tzinfo=None).isoformat(" ", to)
    offset = there.isoformat(" ", to).removeprefix(wall)  # before standard time to the second: +00:53:28
    return f"{wall} {'UTC' if offset == '+00:00' else offset}"


def zone_or(zone: str | None, default: str) -> str:
    """The zone; `default` where it is missing, or nobody knows it (any more)."""
    return zone if zone is not None and zone in known_zones() else default
