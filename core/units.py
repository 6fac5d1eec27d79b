"""What people write in files: durations, shares, zones, schedules. Each type says what it expected."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, PlainSerializer

from core.names import did_you_mean

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration(text: object) -> timedelta:
    """A length of time from `90m`, `14d`, `1d 12h`; units s, m, h, d (24 h), w.

    Raises:
        ValueError: the text is anything else, or not above zero.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or _DURATION.sub("", text).strip():
        raise ValueError(f"got {text!r}, expected a duration such as '90m', '14d' or '1d 12h'")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    if seconds <= 0:
        raise ValueError(f"got {text!r}, expected a duration above zero such as '14d'")
    return timedelta(seconds=seconds)


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back, for example `1d 12h`."""
    left, parts = int(length.total_seconds()), []
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts) or "0s"


def parse_share(value: object) -> float:
    """A share 0–1 from `10%`, `10 %` or `0.1`.

    Raises:
        ValueError: not a number, or outside 0–1.
    """
    share: float | None = None
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = float(value.strip()[:-1]) / 100
        except ValueError:
            share = None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    if share is None or not 0 <= share <= 1:
        raise ValueError(f"got {value!r}, expected a share such as '10%' or 0.1")
    return share


@cache
def _zones() -> frozenset[str]:
    """The zones there are. Asking anew reads every file of the zone database: 5 ms, for each row of an import."""
    return frozenset(available_timezones())


def parse_zone(value: object) -> str:
    """An IANA time zone name.

    Raises:
        ValueError: no such zone; near misses are named.
    """
    if not isinstance(value, str) or value not in _zones():
        hint = did_you_mean(str(value), _zones(), limit=3)
        raise ValueError(f"got {value!r}, expected an IANA time zone such as 'Europe/Berlin'; {hint}")
    return value


_CRON_FIELDS: Final = (
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
        ValueError: names the field that is wrong.
    """
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(f"got {value!r}, expected five fields such as '30 8 * * mon'")
    for text, (name, low, high, words) in zip(fields, _CRON_FIELDS, strict=True):
        _check_cron_field(str(value), text.lower(), name, low, high, words)
    return " ".join(fields).lower()


def _check_cron_field(whole: str, text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> None:
    expected = f"{words[0]}–{words[-1]}" if name == "day of week" else f"{low}–{high}"
    for part in text.split(","):
        body, slash, step = part.partition("/")
        first, dash, last = body.partition("-")
        ends = [_cron_number(end, low, words) for end in ([first, last] if dash else [first])]
        good = body == "*" or all(end is not None and low <= end <= high for end in ends)
        good = good and not (name == "day of week" and any(char.isdigit() for char in body))
        good = good and not (dash and None not in ends and ends[0] > ends[1])  # type: ignore[operator]
        good = good and (not slash or (step.isdigit() and int(step) > 0 and (body == "*" or bool(dash))))
        if not good:
            raise ValueError(f"got {part!r} as the {name} of {whole!r}, expected {expected}, a range, or '*'")


def _cron_number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text in words:
        return words.index(text) + low
    return int(text) if text.isdigit() else None


def parse_wall_time(value: object) -> datetime:
    """A local date and time without a zone, `2026-12-01T09:00`.

    Raises:
        ValueError: not such a text, or it carries a zone.
    """
    try:
        wall = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"got {value!r}, expected a date and time such as '2026-12-01T09:00'") from None
    if wall.tzinfo is not None:
        raise ValueError(f"got {value!r}, expected a time without offset; name the place in 'zone'")
    return wall


def local_instant(wall: datetime, zone: str) -> datetime:
    """The UTC instant of a wall time in `zone`.

    A time skipped by a clock change uses the offset before the gap; a repeated one is the first (S-8.2).
    """
    from datetime import UTC

    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, when_used="json")]
Share = Annotated[float, BeforeValidator(parse_share)]
ZoneName = Annotated[str, BeforeValidator(parse_zone)]
CronText = Annotated[str, BeforeValidator(parse_cron)]


def _wall_text(wall: datetime) -> Any:
    return wall.isoformat(timespec="minutes" if not wall.second else "seconds")


WallTime = Annotated[datetime, BeforeValidator(parse_wall_time), PlainSerializer(_wall_text, when_used="json")]
