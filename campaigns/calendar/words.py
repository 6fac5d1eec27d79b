"""Numbers, times and remarks of the calendar as people read them, on screen, in pages and in calendars."""

from datetime import datetime
from zoneinfo import ZoneInfo

from campaigns.calendar.entries import Certainty, Day, Entry, Window


def heads(entry: Entry) -> str:
    """The number: `1,204`, `about 1,204`, or `?`."""
    if entry.count is None:
        return "?"
    return f"about {entry.count:,}" if entry.certainty is Certainty.ESTIMATED else f"{entry.count:,}"


def mails(day: Day) -> str:
    """How many mails go out on the day: `12 mails`, `about 300 mails`, `? mails`, or nothing where none do."""
    if not day.all_mails:
        return "? mails" if day.is_estimated else ""
    about = "about " if day.is_estimated else ""
    return f"{about}{day.all_mails:,} mail{'' if day.all_mails == 1 else 's'}"


def hours(entry: Entry, window: Window) -> str:
    """When: `09:00`, or `09:00–17:30` where it is spread over the day."""
    first = _clock(entry.at, window)
    if entry.until is None or _clock(entry.until, window) == first:
        return first
    if window.day(entry.until) != window.day(entry.at):
        return f"{first}–{_clock(entry.until, window)} {entry.until.astimezone(ZoneInfo(window.zone)):%a}"
    return f"{first}–{_clock(entry.until, window)}"


def _clock(at: datetime, window: Window) -> str:
    return f"{at.astimezone(ZoneInfo(window.zone)):%H:%M}"


def remark(entry: Entry) -> str:
    """What else is to be known of the line."""
    return ", ".join(part for part in ("paused" if entry.is_paused else "", entry.remark) if part)
