"""How pages name a time: with day, zone and offset, so that it cannot be mistaken (S-7.9)."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from templates.locales import LOCALES
from web.languages import Words
from web.speaking import shown_date

#: Zones a reader can choose from, one for each offset that many people live in, from west to east.
ZONES: Final = (
    "Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles", "America/Denver", "America/Chicago",
    "America/Mexico_City", "America/New_York", "America/Bogota", "America/Halifax", "America/Santiago",
    "America/Sao_Paulo", "America/Argentina/Buenos_Aires", "Atlantic/Azores", "UTC", "Europe/London", "Africa/Lagos",
    "Europe/Berlin", "Europe/Athens", "Africa/Johannesburg", "Africa/Cairo", "Europe/Istanbul", "Africa/Nairobi",
    "Asia/Riyadh", "Asia/Tehran", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka",
    "Asia/Bangkok", "Asia/Shanghai", "Asia/Singapore", "Australia/Perth", "Asia/Tokyo", "Asia/Seoul",
    "Australia/Adelaide", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip


#: Word joiners keep both times on one line.
_DASH: Final = "\u2060–\u2060"


def shown_zone(at: datetime, zone: str) -> str:
    """The zone with its offset at the time, such as `Europe/Berlin, UTC+1`."""
    offset = at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    name = zone.replace("_", " ")
    return name if zone == "UTC" else f"{name}, {_offset(offset)}"


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    if minutes == 0:
        return "UTC±0"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '−'}{hours}{f':{rest:02}' if rest else ''}"


def shown_day(at: datetime, zone: str, words: Words) -> str:
    """The day of the week and the date, as the language writes them."""
    day = shown_date(at, zone, words)
    if words.code not in LOCALES:
        return day
    weekday = LOCALES[words.code].weekdays[at.astimezone(ZoneInfo(zone)).weekday()]
    return words.say("time_day", weekday=weekday, date=day)


def shown_time(at: datetime, zone: str, words: Words) -> str:
    """Day, time of day and zone."""
    clock = f"{at.astimezone(ZoneInfo(zone)):%H:%M}"
    day = words.say("time_at", day=shown_day(at, zone, words), time=clock)
    return words.say("time_in_zone", time=day, zone=shown_zone(at, zone))


def shown_span(starts: datetime, ends: datetime, zone: str, words: Words) -> str:
    """From when to when, and in which zone; the day once where it is one."""
    first, last = (at.astimezone(ZoneInfo(zone)) for at in (starts, ends))
    if first.date() == last.date():
        day = shown_day(starts, zone, words)
        span = words.say("time_at", day=day, time=f"{first:%H:%M}{_DASH}{last:%H:%M}")
    else:
        begin, end = (
            words.say("time_at", day=shown_day(at, zone, words), time=f"{at.astimezone(ZoneInfo(zone)):%H:%M}")
            for at in (starts, ends)
        )
        span = f"{begin} – {end}"
    return words.say("time_in_zone", time=span, zone=shown_zone(starts, zone))
