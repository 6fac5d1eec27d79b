"""What people write in files: durations, shares, zones, schedules. Each type says what it expected."""

import re
import reprlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema

from core.names import did_you_mean

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 80


def quoted(value: object) -> str:
    """A value as messages show it: as Python writes it, a long one shortened."""
    return _brief.repr(value)


class Unfit(ValueError):
    """A value is not what was expected. `expected` does not name the value, so that it may be shown without."""

    def __init__(self, got: str, expected: str, hint: str = "") -> None:
        super().__init__(f"got {got}, expected {expected}" + (f"; {hint}" if hint else ""))
        self.expected = expected


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw])")
LONGEST: Final = timedelta(days=36_525)  # a hundred years


def parse_duration(text: object) -> timedelta:
    """A length of time from `90m`, `14d`, `1d 12h`; units s, m, h, d (24 h), w. It is made of whole seconds.

    Raises:
        Unfit: the text is anything else, not above zero, or above a hundred years.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or _DURATION.sub("", text).strip():
        raise Unfit(quoted(text), "a duration such as '90m', '14d' or '1d 12h'")
    seconds = sum((Decimal(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)), Decimal(0))
    if seconds <= 0:
        raise Unfit(quoted(text), "a duration above zero such as '14d'")
    if seconds > LONGEST.total_seconds():
        raise Unfit(quoted(text), f"a duration of at most {LONGEST.days}d (a hundred years)")
    if seconds % 1:
        raise Unfit(quoted(text), "a duration in whole seconds such as '90s'")
    return timedelta(seconds=int(seconds))


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back, for example `1d 12h`; fractions of a second are dropped."""
    left, parts = int(length.total_seconds()), []
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts) or "0s"


def parse_share(value: object) -> float:
    """A share 0–1 from `10%`, `10 %` or `0.1`.

    Raises:
        Unfit: not a number, or outside 0–1.
    """
    share: float | None = None
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = float(value.strip()[:-1]) / 100
        except ValueError:
            share = None
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        share = float(value)
    if share is None or not 0 <= share <= 1:
        raise Unfit(quoted(value), "a share such as '10%' or 0.1")
    return share


@cache
def known_zones() -> frozenset[str]:
    """The zones there are. Asking anew reads every file of the zone database: 5 ms, for each row of an import."""
    return frozenset(available_timezones())


class Octets(int):
    """A number of octets, shown as people say it."""

    def __str__(self) -> str:
        return format_size(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A number in JSON and in JSON Schemas."""
        return handler(int)


_SIZES: Final = {"kb": 1_000, "mb": 1_000_000}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(kb|mb)", re.IGNORECASE)
_LARGEST: Final = 50_000_000


def parse_size(value: object) -> Octets:
    """The octets of `500 KB` or `5 MB` (a thousand, a million).

    Raises:
        Unfit: the text is anything else, zero, or above 50 MB, which no mail server takes.
    """
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    octets = int(Decimal(match[1]) * _SIZES[match[2].lower()]) if match else 0
    if isinstance(value, Octets):
        octets = value
    if not 0 < octets <= _LARGEST:
        raise Unfit(quoted(value), f"a size such as '5 MB', at most '{_LARGEST // 1_000_000} MB'")
    return Octets(octets)


def format_size(octets: int) -> str:
    """A size as people say it, rounded up: `740 KB`, `5 MB`, `1.2 MB`."""
    if octets <= 999_000:
        return f"{-(-octets // 1_000)} KB"
    return f"{-(-octets // 100_000) / 10:.1f}".removesuffix(".0") + " MB"


def parse_zone(value: object) -> str:
    """An IANA time zone name.

    Raises:
        Unfit: no such zone; near misses are named.
    """
    if not isinstance(value, str) or value not in known_zones():
        hint = did_you_mean(quoted(value).strip("'"), known_zones(), limit=3)
        raise Unfit(quoted(value), "an IANA time zone such as 'Europe/Berlin'", hint)
    return value


#: Name, lowest, highest and words of each field of a schedule.
CRON_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 6, ("mon", "tue", "wed", "thu", "fri", "sat", "sun")),
)


def parse_cron(value: object) -> str:
    """A five-field schedule (minute, hour, day of month, month, day of week), normalised to single blanks.

    Days of the week are written by name (`mon`–`sun`): numbers mean different days to different programs.

    Raises:
        Unfit: names the field that is wrong.
    """
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != len(CRON_FIELDS):
        raise Unfit(quoted(value), "five fields such as '30 8 * * mon'")
    for text, (name, low, high, words) in zip(fields, CRON_FIELDS, strict=True):
        _check_cron_field(str(value), text.lower(), name, low, high, words)
    return " ".join(fields).lower()


def _check_cron_field(whole: str, text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> None:
    expected = f"{words[0]}–{words[-1]}" if name == "day of week" else f"{low}–{high}"
    for part in text.split(","):
        body, slash, step = part.partition("/")
        first, dash, last = body.partition("-")
        ends = [cron_number(end, low, words) for end in ([first, last] if dash else [first])]
        good = body == "*" or all(end is not None and low <= end <= high for end in ends)
        good = good and not (name == "day of week" and any(char.isdigit() for char in body))
        good = good and not (dash and None not in ends and ends[0] > ends[1])  # type: ignore[operator]
        good = good and (not slash or ((body == "*" or bool(dash)) and _cron_step(step, low, high)))
        if not good:
            raise Unfit(f"{quoted(part)} as the {name} of {quoted(whole)}", f"{expected}, a range, or '*'")


def cron_number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    """The number that one end of a schedule's range stands for; None: it is none."""
    if text in words:
        return words.index(text) + low
    return int(text) if re.fullmatch(r"[0-9]{1,2}", text) else None


def _cron_step(text: str, low: int, high: int) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,2}", text)) and 0 < int(text) <= high - low


_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2999


def parse_wall_time(value: object) -> datetime:
    """A local date and time without a zone, `2026-12-01T09:00`.

    Raises:
        Unfit: not such a text, one of another age, or it carries a zone.
    """
    try:
        wall = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise Unfit(quoted(value), "a date and time such as '2026-12-01T09:00'") from None
    if wall.tzinfo is not None:
        raise Unfit(quoted(value), "a time without offset", "name the place in 'zone'")
    if not _FIRST_YEAR <= wall.year <= _LAST_YEAR or wall.microsecond:
        raise Unfit(quoted(value), f"whole seconds in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return wall


def local_instant(wall: datetime, zone: str) -> datetime:
    """The UTC instant of a wall time in `zone`.

    A time skipped by a clock change uses the offset before the gap; a repeated one is the first (S-8.2).
    """
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, when_used="json")]
Share = Annotated[float, BeforeValidator(parse_share)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["500 KB", "5 MB"]}),
]
ZoneName = Annotated[str, BeforeValidator(parse_zone)]
CronText = Annotated[str, BeforeValidator(parse_cron)]


def _wall_text(wall: datetime) -> Any:
    return wall.isoformat(timespec="minutes" if not wall.second else "seconds")


WallTime = Annotated[datetime, BeforeValidator(parse_wall_time), PlainSerializer(_wall_text, when_used="json")]
