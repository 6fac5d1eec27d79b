"""When and where an event is, in words: by its own clock, and by the reader's where that differs (S-7.9)."""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from campaigns.events.held import HeldEvent, Shown
from core.form_settings import in_language
from templates.formats import dated
from templates.locales import locale_of
from tracking.public_links import PublicLinks

#: A day of the week, and the time of day, around a date as the language writes it.
_TIME: Final = "%H:%M"
_UNTIL: Final = "–"


def moment(at: datetime, zone: str, language: str | None) -> str:
    """An instant as the zone's clock and the language write it, with zone and offset."""
    locale, there = locale_of(language), at.astimezone(ZoneInfo(zone))
    return f"{_day(there, language)}, {dated(there.replace(tzinfo=None), _TIME, locale)} ({_zone(there, zone)})"


def span(starts_at: datetime, ends_at: datetime, zone: str, language: str | None) -> str:
    """From when to when, by the zone's clock: `Thursday, 3 December 2026, 18:00–20:30 (Europe/Berlin, UTC+01:00)`."""
    return _span(starts_at.astimezone(ZoneInfo(zone)), ends_at.astimezone(ZoneInfo(zone)), zone, language)


def span_shown(shown: Shown, language: str | None) -> str:
    """The same as calendars had it: by the rules that the zone had then (S-8.1)."""
    if not shown.starts_at.utcoffset():  # in UTC, as all were stored once
        return span(shown.starts_at, shown.ends_at, shown.zone, language)
    return _span(shown.starts_at, shown.ends_at, shown.zone, language)


def _span(first: datetime, last: datetime, zone: str, language: str | None) -> str:
    locale = locale_of(language)
    begins = f"{_day(first, language)}, {dated(first.replace(tzinfo=None), _TIME, locale)}"
    ends = dated(last.replace(tzinfo=None), _TIME, locale)
    if first.date() != last.date():
        ends = f" {_day(last, language)}, {ends}"
        begins += " "
    return f"{begins}{_UNTIL}{ends} ({_zone(first, zone)})"


def _day(there: datetime, language: str | None) -> str:
    locale = locale_of(language)
    return dated(there.replace(tzinfo=None), f"%A, {locale.date}", locale)


def _zone(there: datetime, zone: str) -> str:
    return f"{zone}, UTC{there.isoformat()[-6:]}"


def told(held: HeldEvent, links: PublicLinks, language: str | None, reader_zone: str | None) -> dict[str, Any]:
    """The event as templates know it: `given.event.…`; what there is none of is empty."""
    definition = held.definition
    when = span(held.starts_at, held.ends_at, held.zone, language)
    return {
        "name": held.name,
        "title": held.title(language),
        "description": in_language(definition.description, language or "") or "",
        "when": when,
        "when_there": _there(held, reader_zone, language),
        "zone": held.zone,
        "starts": held.starts_at.isoformat(),
        "ends": held.ends_at.isoformat(),
        "place": definition.place or "",
        "online": definition.online or "",
        "page": links.event(held.name),
    }


def told_before(shown: Shown, language: str | None) -> dict[str, Any]:
    """The event as it was told before, as templates know it: `given.was.…`."""
    return {
        "title": in_language(shown.title, language or "") or "",
        "when": span_shown(shown, language),
        "place": shown.place or "",
        "online": shown.online or "",
    }


def _there(held: HeldEvent, reader_zone: str | None, language: str | None) -> str:
    """The time by the reader's clock; empty where it shows the same, or is not known."""
    if reader_zone is None:
        return ""
    try:
        zone = ZoneInfo(reader_zone)
    except (KeyError, ValueError, OSError):
        return ""
    clocks = [(at.astimezone(zone).utcoffset(), at.astimezone(ZoneInfo(held.zone)).utcoffset())
              for at in (held.starts_at, held.ends_at)]  # fmt: skip
    is_same = all(there == here for there, here in clocks)
    return "" if is_same else span(held.starts_at, held.ends_at, reader_zone, language)
