"""What the cells mean: numbers, instants, keys. Nothing is guessed: what could be read two ways is rejected."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from core.units import local_instant

_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
_MAYBE_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_GROUPED: Final = {
    "point": re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?"),
    "comma": re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d*)?"),
}
#: numeric(18, 4) of the schema.
_QUANTUM: Final = Decimal("0.0001")
_TOO_LARGE: Final = Decimal(10) ** 14
#: Characters: of four bytes each they still fit an entry of a PostgreSQL index (2,704 bytes).
MAX_KEY: Final = 500
#: Spreadsheets' "never" (9999-12-31) and "unknown" (0001-01-01) are no instants anything happened at.
_YEARS: Final = range(1900, 3000)
_BLANKS: Final = str.maketrans("", "", " \u00a0\u202f")

_CLOCK = r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:\s*([AaPp])\.?[Mm]\.?)?)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})[-/.年](\d{{1,2}})[-/.月](\d{{1,2}})日?{_CLOCK}")
_DOTTED = re.compile(rf"(\d{{1,2}})\.(\d{{1,2}})\.(\d{{4}}){_CLOCK}")
_SLASHED = re.compile(rf"(\d{{1,2}})[/-](\d{{1,2}})[/-](\d{{4}}){_CLOCK}")
_FLOAT_KEY = re.compile(r"(\d+)\.0+")


class Rejected(Exception):
    """One row cannot be imported; the text says why, in words for the person who mends the file."""


@dataclass(frozen=True, slots=True)
class Formats:
    """How the file writes numbers and dates, as far as that cannot be seen; `zone` is that of naive times."""

    zone: str = "UTC"
    decimal: Literal["point", "comma"] | None = None
    dates: Literal["dmy", "mdy"] | None = None


def clean_key(text: str) -> str:
    """A key without the `.0` that spreadsheets and data frames add: `17850.0` is `17850`.

    Raises:
        Rejected: as `short_key`.
    """
    short_key(text)
    if text.endswith("0") and (match := _FLOAT_KEY.fullmatch(text)):
        return match[1]
    return text


def short_key(text: str, *, most: int = MAX_KEY) -> str:
    """The key as it is.

    Raises:
        Rejected: it is longer than `most` characters.
    """
    if len(text) > most:
        raise Rejected(f"key too long (got {len(text):,} characters beginning {text[:20]!r}, expected at most {most})")
    return text


def number_reader(formats: Formats) -> Callable[[str], Decimal]:
    """A function from a cell to a number, exact.

    The function raises Rejected: not a number, too large a one, or one that could be read two ways.
    """

    @lru_cache(maxsize=100_000)
    def read(text: str) -> Decimal:
        value = Decimal(_with_point(text.translate(_BLANKS), formats.decimal, text))
        to_cents(value)
        return value

    return read


def _with_point(text: str, decimal: str | None, shown: str) -> str:
    if decimal is not None:
        if not (_GROUPED[decimal].fullmatch(text) and any(map(str.isdigit, text))) and not (
            decimal == "point" and _PLAIN.fullmatch(text)
        ):
            raise Rejected(f"not a number with a decimal {decimal} (got {shown!r})")
        return text.replace(",", "") if decimal == "point" else text.replace(".", "").replace(",", ".")
    if "," in text and any(map(str.isdigit, text)):
        raise Rejected(f"number with a comma (got {shown!r}); say --decimal comma or --decimal point")
    if _MAYBE_GROUPED.fullmatch(text):
        raise Rejected(
            f"number that may have grouped thousands (got {shown!r}); say --decimal comma or --decimal point"
        )
    if not _PLAIN.fullmatch(text):
        raise Rejected(f"not a number (got {shown!r})")
    return text


def to_cents(value: Decimal) -> Decimal:
    """The value as the database holds it: four decimals, halves away from zero.

    Raises:
        Rejected: it is too large for it.
    """
    if abs(value) < _TOO_LARGE:
        rounded = value.quantize(_QUANTUM, rounding="ROUND_HALF_UP")
        if abs(rounded) < _TOO_LARGE:
            return rounded
    raise Rejected(f"number too large (got {value:.6g}, expected below {_TOO_LARGE:.0e})")


def instant_reader(formats: Formats) -> Callable[[str], datetime]:
    """A function from a cell to an aware instant; times without offset are in `formats.zone`.

    The function raises Rejected: not a date, one whose day and month could be swapped, or one outside the years
    1900 to 2999.
    """

    @lru_cache(maxsize=100_000)
    def read(text: str) -> datetime:
        try:
            moment = _moment(text, formats.dates)
            if moment.year in _YEARS:
                return moment if moment.tzinfo is not None else local_instant(moment, formats.zone)
        except (ValueError, OverflowError):
            raise Rejected(f"not a date (got {text!r}, expected such as 2026-12-01 or 2026-12-01 09:30)") from None
        raise Rejected(f"year out of range (got {text!r}, expected {_YEARS[0]} to {_YEARS[-1]})")

    return read


def end_of_day(instant: datetime, formats: Formats, *, latest: datetime) -> datetime:
    """The last moment of the day whose midnight the instant is, where a date stands without a time; any other instant
    is itself. Never after `latest`."""
    local = instant.astimezone(ZoneInfo(formats.zone))
    if local.time() == time():
        midnight = local_instant(datetime.combine(local.date() + timedelta(days=1), time()), formats.zone)
        instant = max(instant, midnight - timedelta(microseconds=1))
    return min(instant, latest)


def _moment(text: str, order: str | None) -> datetime:
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, *clock = match.groups()
    elif match := _DOTTED.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _SLASHED.fullmatch(text):
        first, second, year, *clock = match.groups()
        if order is None:
            raise Rejected(f"day and month could be swapped (got {text!r}); say --dates dmy or --dates mdy")
        day, month = (first, second) if order == "dmy" else (second, first)
    else:
        return datetime.fromisoformat(text)
    return datetime(int(year), int(month), int(day), *_clock(clock))  # noqa: DTZ001  the zone is the caller's


def _clock(parts: list[str | None]) -> tuple[int, int, int]:
    hour, minute, second, half = parts
    if hour is None:
        return 0, 0, 0
    shown = int(hour)
    if half is not None:
        if not 1 <= shown <= 12:
            raise ValueError(hour)
        shown = shown % 12 + (12 if half in "Pp" else 0)
    return shown, int(minute or 0), int(second or 0)


def one_line(text: str) -> str:
    """The text with every run of blanks and line breaks as one blank: names stand in mail headers."""
    return " ".join(text.split())
