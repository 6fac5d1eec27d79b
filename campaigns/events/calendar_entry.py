"""A registration as a calendar entry: one iCalendar object, by RFC 5545 and RFC 5546 (S-7.1 to S-7.3, S-7.6 to S-7.8).

The library `icalendar` writes it. Time zones are made here, of the zone database that everything else goes by: the
library gives some changes of clock an hour of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone, TimezoneDaylight, TimezoneStandard, vCalAddress, vText

from core.units import local_instant

Way = Literal["request", "publish"]
PRODUCT: Final = "-//Clarion//Events//EN"
_NOT_IN_NAMES: Final = re.compile(r'[\x00-\x1f\x7f"\x80-\x9f\u2028\u2029]+')
_NOT_IN_TEXTS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one attendee's calendar shows. `sequence` rises with every change, and with the cancellation."""

    uid: str
    sequence: int
    way: Way
    is_cancelled: bool
    stamped_at: datetime
    starts_at: datetime
    ends_at: datetime
    zone: str
    title: str
    description: str
    location: str
    url: str | None
    organiser_name: str
    organiser_email: str
    attendee_name: str
    attendee_email: str

    @property
    def method(self) -> str:
        """`REQUEST`, `PUBLISH` or `CANCEL`. What was published stays so: it says of itself that it is cancelled
        (S-7.3)."""
        if self.way == "publish":
            return "PUBLISH"
        return "CANCEL" if self.is_cancelled else "REQUEST"


def written(entry: Entry) -> str:
    """The object as text in CRLF lines, folded at 75 octets; equal for equal entries."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", entry.method)
    zone = _zone_of(entry)
    calendar.add_component(_event(entry, zone))
    text: str = calendar.to_ical().decode()
    if zone is None:
        return text
    head, begins, rest = text.partition("BEGIN:VEVENT")
    return head + _timezone(entry.zone, entry.starts_at.year, entry.ends_at.year) + begins + rest


def _zone_of(entry: Entry) -> ZoneInfo | None:
    """The zone to write its times in; None: in UTC, where the zone's own clock shows one of them twice."""
    zone = ZoneInfo(entry.zone)
    walls = ((at, at.astimezone(zone).replace(tzinfo=None)) for at in (entry.starts_at, entry.ends_at))
    says_all = all(local_instant(wall, entry.zone) == at for at, wall in walls)
    return zone if says_all and entry.zone != "UTC" else None


def _event(entry: Entry, zone: ZoneInfo | None) -> Event:
    event = Event()
    event.add("uid", entry.uid)
    event.add("sequence", entry.sequence)
    event.add("dtstamp", entry.stamped_at.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", entry.starts_at.astimezone(zone or UTC))
    event.add("dtend", entry.ends_at.astimezone(zone or UTC))
    event.add("summary", _text(entry.title))
    if entry.description:
        event.add("description", _text(entry.description))
    if entry.location:
        event.add("location", _text(entry.location))
    if entry.url:
        event.add("url", entry.url)
    event.add("status", "CANCELLED" if entry.is_cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if entry.is_cancelled else "OPAQUE")
    event.add("organizer", _mailbox(entry.organiser_email, entry.organiser_name))
    if entry.way == "request":
        attendee = _mailbox(entry.attendee_email, entry.attendee_name)
        attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
        attendee.params["PARTSTAT"] = vText("ACCEPTED")  # they registered: they are not asked again
        attendee.params["RSVP"] = vText("FALSE")
        event.add("attendee", attendee, encode=False)
    return event


def _mailbox(email: str, name: str) -> vCalAddress:
    """The bare address as a URI; the name beside it, never in it (S-7.6)."""
    mailbox = vCalAddress(f"mailto:{email}")
    shown = _NOT_IN_NAMES.sub(" ", name).strip()
    if shown:
        mailbox.params["CN"] = vText(shown)
    return mailbox


def _text(text: str) -> str:
    return _NOT_IN_TEXTS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


@lru_cache(maxsize=256)
def _timezone(name: str, first_year: int, last_year: int) -> str:
    """The zone's clocks from the year before the event to the year after it, as a VTIMEZONE: the same for everybody,
    and half the time of writing an entry."""
    begins, ends = datetime(first_year - 1, 1, 1, tzinfo=UTC), datetime(last_year + 2, 1, 1, tzinfo=UTC)
    zone = ZoneInfo(name)
    timezone = Timezone()
    timezone.add("tzid", name)
    for at in (begins, *_changes(zone, begins, ends)):
        timezone.add_component(_observance(zone, at, is_first=at == begins))
    text: str = timezone.to_ical().decode()
    return text


def _observance(zone: ZoneInfo, at: datetime, *, is_first: bool) -> TimezoneStandard | TimezoneDaylight:
    """What the clocks show from `at` on. Its beginning is told by the clock as it was before."""
    after = at.astimezone(zone)
    before = after if is_first else (at - timedelta(seconds=1)).astimezone(zone)
    offset_before, offset = before.utcoffset() or timedelta(), after.utcoffset() or timedelta()
    observance = TimezoneDaylight() if after.dst() and after.dst() != timedelta() else TimezoneStandard()
    observance.add("dtstart", (at + offset_before).replace(tzinfo=None))
    observance.add("tzoffsetfrom", offset_before)
    observance.add("tzoffsetto", offset)
    observance.add("tzname", after.tzname() or "")
    return observance


def _changes(zone: ZoneInfo, begins: datetime, ends: datetime) -> Iterator[datetime]:
    """The instants, to the second, at which the zone's clocks change within that time."""
    day = timedelta(days=1)
    at = begins
    while at < ends:
        if at.astimezone(zone).utcoffset() != (at + day).astimezone(zone).utcoffset():
            yield _within(zone, at, at + day)
        at += day


def _within(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The instant between the two at which the offset becomes that of `high`."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
