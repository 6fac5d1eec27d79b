"""The door of an event: staff looks for who comes, and checks them in with one press. By a signed link for each event.

It works on a phone and without JavaScript: searching asks for the page anew, pressing sends a form.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, or_, select
from starlette.requests import Request
from starlette.responses import Response

from campaigns.events import afterwards
from campaigns.events.afterwards import Change
from campaigns.events.held import HeldEvent, event_of
from campaigns.events.states import Seat
from core import audit
from core.errors import NotFound
from core.plain_text import one_line
from core.schema import customer, registration
from tracking.timed_tokens import TimedPurpose
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import read_fields
from web.site import Site, site_of
from web.timed_links import opened
from web.times import shown_time

#: More people than these are searched for, not scrolled through.
_MOST_SHOWN: Final = 60
_LONGEST_SEARCH: Final = 100
_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who has a seat. `name` is empty where none is known."""

    number: int
    name: str
    company: str
    email: str
    here_since: datetime | None


@dataclass(frozen=True, slots=True)
class Door:
    """The event and who of its guests is looked at. `found` counts those who fit the search, `guests` are the first."""

    held: HeldEvent
    seats: int
    here: int
    found: int
    guests: tuple[Guest, ...]


async def door_page(request: Request) -> Response:
    """Who has a seat, and who is here. Changes nothing."""
    return await _answer(request, request.query_params.get("q", ""), None)


async def door_sent(request: Request) -> Response:
    """Somebody is here, or is not after all; 400 to any other form."""
    site, token = site_of(request), _opened(request)
    if isinstance(token, Response):
        return token
    fields = await read_fields(request)
    number, action = fields.get("registration", ""), fields.get("action", "")
    if action not in ("here", "undo") or not (number.isascii() and number.isdigit() and len(number) <= _DIGITS):
        return site.message_page(request, "bad_request", 400)
    done = await site.off_loop(_checked_in, site, str(request.path_params["event"]), int(number), action == "undo")
    return await _answer(request, fields.get("q", ""), done, undo=action == "undo")


def _opened(request: Request) -> Response | None:
    found = opened(request, TimedPurpose.CHECK_IN, about=str(request.path_params["event"]))
    return found if isinstance(found, Response) else None


def _checked_in(site: Site, event: str, number: int, undo: bool) -> tuple[Change, str]:
    """What it came to, and who it was about."""
    now = site.clock.now()
    with site.transaction() as connection:
        change = afterwards.check_in(connection, event, number, now, undo=undo)
        row = connection.execute(_guests(event).where(registration.c.id == number)).one_or_none()
        if change is Change.DONE:
            action = "event.check-in-undone" if undo else "event.check-in"
            audit.record(connection, audit.PERSON, action, f"event:{event}", at=now, registration=number)
    return change, _guest(row).name if row is not None else ""


async def _answer(request: Request, query: str, done: tuple[Change, str] | None, *, undo: bool = False) -> Response:
    site, refused = site_of(request), _opened(request)
    if refused is not None:
        return refused
    query = one_line(query)[:_LONGEST_SEARCH]
    door = await site.off_loop(_door, site, str(request.path_params["event"]), query)
    return site.not_found(request) if door is None else _page(site, request, door, query, done, undo=undo)


def _door(site: Site, event: str, query: str) -> Door | None:
    with site.database.begin() as connection:
        try:
            held = event_of(connection, event)
        except NotFound:
            return None
        return _read(connection, held, query)


def _guests(event: str) -> Any:
    """Everybody who has a seat, by name: as they registered, else as we know them."""
    answers, known = registration.c.answers, customer.c
    told = {
        name: func.coalesce(func.nullif(answers[name].astext, ""), known[name], "").label(name)
        for name in ("first_name", "last_name", "company")
    }
    columns = (registration.c.id, registration.c.checked_in_at, known.email, *told.values())
    chosen = select(*columns).join(customer, known.id == registration.c.customer_id)
    return chosen.where(registration.c.event == event, registration.c.state == Seat.CONFIRMED)


def _read(connection: Connection, held: HeldEvent, query: str) -> Door:
    everybody = _guests(held.name).subquery()
    counted = select(func.count(), func.count(everybody.c.checked_in_at)).select_from(everybody)
    seats, here = connection.execute(counted).one()
    columns = everybody.c
    name = func.concat_ws(" ", columns.first_name, columns.last_name)
    chosen = select(everybody, func.count().over().label("found"))
    if query:
        fits = (name, columns.company, columns.email)
        chosen = chosen.where(or_(*(each.icontains(query, autoescape=True) for each in fits)))
    order = (func.lower(columns.last_name), func.lower(columns.first_name), columns.id)
    rows = connection.execute(chosen.order_by(*order).limit(_MOST_SHOWN)).all()
    found = rows[0].found if rows else 0
    return Door(held, seats, here, found, tuple(_guest(row) for row in rows))


def _guest(row: Any) -> Guest:
    name = " ".join(part for part in (row.first_name, row.last_name) if part)
    return Guest(row.id, name, row.company, row.email or "", row.checked_in_at)


def _page(
    site: Site, request: Request, door: Door, query: str, done: tuple[Change, str] | None, *, undo: bool
) -> Response:  # fmt: skip
    words = site.words(request)
    heading = words.say("door_heading", event=door.held.title(words.code))
    people = [_person(guest, door.held.zone, query, words) for guest in door.guests]
    none = fragment("paragraph.html", {"words": words.say("door_nobody")})
    left = door.found - len(door.guests)
    more = fragment("hint.html", {"words": words.say("door_more", count=str(left))}) if left > 0 else NOTHING
    language = request.query_params.get("lang")
    values = {
        "heading": heading, "status": _told(done, words, undo=undo),
        "early": _early(door.held, site.clock.now(), words),
        "count": words.say("door_count", here=str(door.here), seats=str(door.seats)),
        "label": words.say("door_search"), "search": words.say("door_search_button"), "query": query,
        "people": fragment("door_people.html", {"people": joined(people)}) if people else none, "more": more,
        "kept": fragment("hidden.html", {"name": "lang", "value": words.code}) if language else NOTHING,
    }  # fmt: skip
    return site.page(request, words, heading, fragment("door.html", values))


def _early(held: HeldEvent, now: datetime, words: Words) -> Html:
    """On a day before the event its time is told: this may be another one's list."""
    if not held.begins_later(now):
        return NOTHING
    time = shown_time(held.starts_at, held.zone, words)
    return fragment("notice.html", {"words": words.say("door_early", time=time)})


def _told(done: tuple[Change, str] | None, words: Words, *, undo: bool) -> Html:
    if done is None:
        return NOTHING
    change, name = done
    name = name or words.say("door_unnamed")
    if change in (Change.GONE, Change.TOO_LATE):
        return fragment("warning.html", {"words": words.say(f"door_{change}")})
    which = "before" if change is Change.BEFORE else "undone" if undo else "done"
    return fragment("status.html", {"words": words.say(f"door_{which}", name=name)})


def _person(guest: Guest, zone: str, query: str, words: Words) -> Html:
    name = guest.name or guest.email or words.say("door_unnamed")
    told = [part for part in (guest.company, guest.email if guest.name else "") if part]
    is_here = guest.here_since is not None
    if guest.here_since is not None:
        time = f"{guest.here_since.astimezone(ZoneInfo(zone)):%H:%M}"
        told.append(words.say("door_since", time=time))
    values = {
        "number": str(guest.number), "name": name, "query": query,
        "detail": fragment("description.html", {"description": " · ".join(told)}) if told else NOTHING,
        "action": "undo" if is_here else "here", "look": Html(' class="second"') if is_here else NOTHING,
        "label": words.say("door_undo" if is_here else "door_check_in"),
    }  # fmt: skip
    return fragment("door_person.html", values)
