"""The calendar as an iCalendar feed that calendar programs subscribe to, and the signed link it is behind.

Entries have an instant and no length, but for events; times are in UTC, which needs no definition of a zone. Their UIDs
stay the same from one look to the next, so that a changed number changes the entry and adds none.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from icalendar import Calendar as Feed
from icalendar import Event

from campaigns.calendar import words
from campaigns.calendar.entries import Calendar, Entry, Kind, Window
from core.ids import keyed_hash
from core.workspace import Workspace
from tracking.timed_tokens import TimedPurpose, TimedTokens

PRODUCT: Final = "-//Clarion//Calendar//EN"
#: How far the feed looks ahead, and how often programs are asked to look again.
DAYS: Final = 42
_REFRESH: Final = timedelta(hours=1)


def written(calendar: Calendar, organisation: str) -> str:
    """The feed as text in CRLF lines; equal for equal calendars of one second."""
    feed = Feed()
    feed.add("prodid", PRODUCT)
    feed.add("version", "2.0")
    feed.add("calscale", "GREGORIAN")
    feed.add("method", "PUBLISH")
    feed.add("x-wr-calname", f"{organisation}: what goes out")
    feed.add("x-wr-timezone", calendar.window.zone)
    feed.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})
    feed.add("x-published-ttl", "PT1H")
    for day in calendar.days:
        for entry in day.entries:
            feed.add_component(_event(entry, calendar.window))
    text: str = feed.to_ical().decode()
    return text


def _event(entry: Entry, window: Window) -> Event:
    event = Event()
    event.add("uid", _uid(entry, window))
    event.add("dtstamp", window.now.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", entry.at.astimezone(UTC).replace(microsecond=0))
    if entry.kind is Kind.EVENT and entry.until is not None:
        event.add("dtend", entry.until.astimezone(UTC).replace(microsecond=0))
    event.add("summary", f"{entry.name} {entry.what}: {words.heads(entry)}")
    told = [entry.kind.value, f"{entry.certainty.value}: {words.heads(entry)}"]
    if entry.until is not None:
        told.append(words.hours(entry, window))
    event.add("description", "\n".join(part for part in (*told, words.remark(entry)) if part))
    event.add("categories", [entry.kind.value])
    event.add("transp", "TRANSPARENT")  # nobody is busy because mail goes out
    if entry.is_paused:
        event.add("status", "TENTATIVE")
    return event


def _uid(entry: Entry, window: Window) -> str:
    """The same for the same thing on the same day."""
    what = entry.what if entry.kind is Kind.MAILING else entry.what.split()[0]
    thing = "|".join((entry.kind.value, entry.name, what, str(window.day(entry.at))))
    return f"{keyed_hash(b'clarion', 'calendar-uid', thing.encode()).hex()[:32]}@calendar.clarion"


def link(workspace: Workspace, ends_at: datetime) -> str:
    """The address of the feed, for whoever has it, until `ends_at`.

    It is good for nothing else. Who raises `calendar.links` in clarion.yaml ends all that were given out before.
    """
    tokens = TimedTokens(workspace.token_secret, retired=workspace.retired_secrets)
    token = tokens.sign(TimedPurpose.CALENDAR, 0, ends_at, about=about(workspace))
    return f"{workspace.settings.tracking.base_url}/calendar/{token}.ics"


def about(workspace: Workspace) -> str:
    """What a link's token is bound to beside its purpose."""
    return f"calendar {workspace.settings.calendar.links}"
