"""Dates, numbers and money as the customer's language and time zone write them."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from core.errors import RenderError
from templates.locales import Locale, locale_of

_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "CNY": "¥", "JPY": "¥"}
_WITHOUT_CENTS: Final = frozenset({"JPY", "KRW", "VND", "CLP"})
_LONGEST_CURRENCY: Final = 8
_BIG: Final = 10**18
_UNITS: Final = tuple(Decimal(1).scaleb(-digits) for digits in range(10))
_DIRECTIVE = re.compile(r"%(-?.?)")
#: No other directive, and no width: the C library pads `%999999999d` to a gigabyte.
_OF_THE_DAY: Final[dict[str, Callable[[date, Locale], str]]] = {
    "H": lambda day, _: f"{getattr(day, 'hour', 0):02d}",
    "-H": lambda day, _: str(getattr(day, "hour", 0)),
    "M": lambda day, _: f"{getattr(day, 'minute', 0):02d}",
}
_DIRECTIVES: Final[dict[str, Callable[[date, Locale], str]]] = {
    "Y": lambda day, _: f"{day.year:04d}",
    "y": lambda day, _: f"{day.year % 100:02d}",
    "m": lambda day, _: f"{day.month:02d}",
    "-m": lambda day, _: str(day.month),
    "d": lambda day, _: f"{day.day:02d}",
    "-d": lambda day, _: str(day.day),
    "B": lambda day, locale: locale.months[day.month - 1],
    "b": lambda day, locale: locale.months[day.month - 1][:3],
    "A": lambda day, locale: locale.weekdays[day.weekday()],
    "a": lambda day, locale: locale.weekdays[day.weekday()][:3],
    "%": lambda _, __: "%",
    **_OF_THE_DAY,
}


def _locale(context: Context) -> Locale:
    customer = context.parent.get("customer") or {}
    return locale_of(customer.get("language") or context.parent.get("_language"))


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


@lru_cache(maxsize=512)
def _clock(*names: str | None) -> tzinfo:
    """The first of the zones that is known; UTC when none is."""
    zones = (_zone(name) for name in names if name)
    return next((zone for zone in zones if zone is not None), UTC)


def _local(context: Context, value: Any) -> date:
    """`value` as the customer's clock shows it; the organisation's clock when the customer's is unknown."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise RenderError(f"date: got {value!r}, expected a date such as 2026-12-01") from None
    if not isinstance(value, datetime):
        if isinstance(value, date):
            return value
        raise RenderError(f"date: got {value!r}, expected a date")
    if value.tzinfo is None:
        return value
    customer = context.parent.get("customer") or {}
    return value.astimezone(_clock(customer.get("zone"), context.parent.get("_zone")))


@pass_context
def date_text(context: Context, value: Any, pattern: str | None = None) -> str:
    """`value` by `pattern` (%Y %y %m %-m %d %-d %B %b %A %a %H %-H %M %%) in the customer's zone and language."""
    if value is None or isinstance(value, Undefined):
        raise RenderError("date: there is no date", hint="test it first: {% if … %}")
    locale = _locale(context)
    day = _local(context, value)
    if isinstance(day, datetime):  # shown by what it says: thousands of instants are one day
        day = day.replace(tzinfo=None) if _tells_time(pattern or locale.date) else day.date()
    return dated(day, pattern, locale)


@lru_cache(maxsize=4096)
def dated(day: date, pattern: str | None, locale: Locale) -> str:
    """`day` by the pattern of `date`, or by the language's own, whatever zone it was told in."""
    return "".join([
        piece if isinstance(piece, str) else piece(day, locale) for piece in _pieces(pattern or locale.date)
    ])  # fmt: skip


@lru_cache(maxsize=256)
def _tells_time(pattern: str) -> bool:
    return not _OF_THE_DAY.keys().isdisjoint(_DIRECTIVE.findall(pattern))


@lru_cache(maxsize=256)
def _pieces(pattern: str) -> tuple[str | Callable[[date, Locale], str], ...]:
    """The pattern as texts that stand as they are, and directives."""
    found: list[str | Callable[[date, Locale], str]] = []
    end = 0
    for match in _DIRECTIVE.finditer(pattern):
        directive = _DIRECTIVES.get(match.group(1))
        if directive is None:
            known = " ".join(f"%{name}" for name in _DIRECTIVES)
            raise RenderError(f"date: {match.group()!r} is not known", hint=f"known: {known}")
        found += (pattern[end : match.start()], directive)
        end = match.end()
    return (*found, pattern[end:])


def _decimal(value: Any, filter_name: str) -> Decimal:
    try:
        number = value if type(value) is Decimal else Decimal(str(value))
    except InvalidOperation:
        raise RenderError(f"{filter_name}: got {value!r}, expected a number") from None
    if not number.is_finite() or number.adjusted() > 18:
        raise RenderError(f"{filter_name}: the number cannot be written")
    return number


def _grouped(number: Decimal, digits: int, locale: Locale) -> str:
    if not 0 <= digits <= 9:
        raise RenderError(f"number takes 0 to 9 digits (got {digits})")
    return _in_signs(f"{number.quantize(_UNITS[digits], ROUND_HALF_UP):,f}", locale)


def _in_signs(text: str, locale: Locale) -> str:
    """`text`, a number as Python groups it, with the signs of the language."""
    if locale.thousands == "," and locale.decimal == ".":
        return text
    return text.translate({ord(","): locale.thousands, ord("."): locale.decimal})


@pass_context
def number_text(context: Context, value: Any, digits: int = 0) -> str:
    """`value` with the thousands and decimal signs of the customer's language."""
    if type(value) is int and digits == 0 and -_BIG < value < _BIG:  # nothing to round
        return _in_signs(f"{value:,}", _locale(context))
    return _grouped(_decimal(value, "number") + 0, int(digits), _locale(context))  # + 0: no zero has a sign


@pass_context
def money_text(context: Context, value: Any, currency: str = "EUR", digits: int | None = None) -> str:
    """`value` as an amount of `currency` (an ISO code); the sign stands where the customer's language puts it."""
    if len(currency) > _LONGEST_CURRENCY:
        raise RenderError(f"money: got a currency of {len(currency)} characters, expected a code such as EUR")
    return _amount(_decimal(value, "money"), str(currency), digits, _locale(context))


def _amount(number: Decimal, currency: str, digits: int | None, locale: Locale) -> str:
    places = digits if digits is not None else 0 if currency in _WITHOUT_CENTS else 2
    text = _grouped(abs(number), places, locale)
    sign = "-" if number < 0 and any(char in "123456789" for char in text) else ""
    symbol = _SYMBOLS.get(currency)
    if symbol is not None and locale.symbol_first:
        return f"{sign}{symbol}{text}"
    return f"{sign}{text}\u00a0{symbol or currency}"


def shown_value(context: Context, value: Any) -> str:
    """What is printed for `value`.

    Raises:
        RenderError: it is empty, or a record or list of which one part must be named.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, date):
        return date_text(context, value)
    if value is None:
        raise RenderError("the value is empty", hint='say what to print instead: {{ … or "…" }}')
    if isinstance(value, Undefined):
        return str(value)  # raises, and names what is missing
    raise RenderError("a whole record or list cannot be printed", hint="name one of its fields, or use join()")
