"""One's own registration: a link in each mail of the event leads to it.

GET shows; POST takes an offered seat, declines it, or cancels (S-7.12). Whatever was done before is done: the answer is
the same. The calendar entry can be downloaded.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from campaigns.events import afterwards, looking_up, mails
from campaigns.events.afterwards import Change
from campaigns.events.held import HeldEvent, event_of
from campaigns.events.invitation import file_name
from campaigns.events.looking_up import Found
from campaigns.events.states import Seat
from core.schema import customer, registration
from tracking.public_links import PublicLinks
from tracking.timed_tokens import TimedPurpose, TimedToken
from web import pages
from web.events import facts
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import read_fields
from web.registration_limits import acted
from web.site import Site, site_of
from web.speaking import shown_address
from web.timed_links import has_ended, opened
from web.times import shown_time

_DO: Final = {
    "accept": afterwards.accept_offer, "decline": afterwards.decline_offer, "cancel": afterwards.withdraw,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mine:
    """A registration, its event, and whose it is."""

    found: Found
    held: HeldEvent
    email: str
    zone: str | None
    language: str | None


async def registration_page(request: Request) -> Response:
    """How things stand. Changes nothing."""
    site, token = site_of(request), opened(request, TimedPurpose.REGISTRATION)
    if isinstance(token, Response):
        return token
    mine = await site.off_loop(_mine, site, token)
    return has_ended(site, request) if mine is None else _page(site, request, mine, NOTHING)


async def registration_sent(request: Request) -> Response:
    """The seat is taken, declined or given up, and a mail says so; 400 to any other form."""
    site, token = site_of(request), opened(request, TimedPurpose.REGISTRATION)
    if isinstance(token, Response):
        return token
    action = (await read_fields(request)).get("action", "")
    if action not in _DO:
        return site.message_page(request, "bad_request", 400)
    change = await site.off_loop(_done, site, token, action)
    mine = await site.off_loop(_mine, site, token)
    if mine is None or change is Change.GONE:
        return has_ended(site, request)
    words = site.words(request, mine.language)
    is_late = change is Change.TOO_LATE
    which = "too_late_accept" if is_late and action == "accept" else "too_late_cancel" if is_late else f"done_{action}"
    told = words.say(f"registration_{which}")
    return _page(site, request, mine, fragment("warning.html" if is_late else "status.html", {"words": told}))


async def registration_calendar(request: Request) -> Response:
    """The calendar entry as a file; 404 while there is no seat."""
    site, token = site_of(request), opened(request, TimedPurpose.REGISTRATION)
    if isinstance(token, Response):
        return token
    found = await site.off_loop(_entry, site, token)
    if found is None:
        return site.not_found(request)
    name, text = found
    headers = {**pages.COMMON_HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type="text/calendar; charset=utf-8", headers=headers)


def _mine(site: Site, token: TimedToken) -> Mine | None:
    with site.database.begin() as connection:
        found = looking_up.registration_of(connection, token.subject_id)
        return None if found is None else _with_owner(connection, found)


def _with_owner(connection: Connection, found: Found) -> Mine | None:
    who = select(customer.c.email, customer.c.zone, customer.c.language).where(customer.c.id == found.customer_id)
    row = connection.execute(who).one_or_none()
    if row is None or row.email is None:
        return None
    return Mine(found, event_of(connection, found.event), row.email, row.zone, found.language or row.language)


def _done(site: Site, token: TimedToken, action: str) -> Change:
    with site.transaction() as connection:
        change = _DO[action](connection, site.circumstances, token.subject_id, site.clock.now())
        acted(connection, site.workspace.secret, token.subject_id)
        return change


def _entry(site: Site, token: TimedToken) -> tuple[str, str] | None:
    """The name and the text of the file."""
    with site.database.begin() as connection:
        row = connection.execute(select(registration).where(registration.c.id == token.subject_id)).one_or_none()
        if row is None or row.state != Seat.CONFIRMED:
            return None
        post = mails.Post(connection, site.circumstances, event_of(connection, row.event), site.clock.now())
        text = mails.entry_file(post, row)
        return None if text is None else (file_name(row.event), text)


def _page(site: Site, request: Request, mine: Mine, status: Html) -> Response:
    words = site.words(request, mine.language)
    heading, state = mine.held.title(words.code), words.say("registration_state")
    more = {words.say("registration_whose"): shown_address(mine.email), state: _state(site, mine, words)}
    values = {
        "heading": heading, "status": status, "facts": facts(mine.held, words, zone=mine.zone, more=more),
        "offer": NOTHING, "calendar": NOTHING, "cancel": NOTHING,
    }  # fmt: skip
    seat, is_past = mine.found.seat, _is_past(site, mine)
    if seat is Seat.OFFERED and not is_past:
        values["offer"] = _section("offer", words, ("accept", "decline"))
    if seat is Seat.CONFIRMED:
        target = f"{request.url.path.rstrip('/')}/calendar.ics"
        values["calendar"] = fragment("link.html", {"target": target, "words": words.say("registration_calendar")})
    if seat in (Seat.CONFIRMED, Seat.WAITING) and not is_past:
        values["cancel"] = _section("cancel", words, ("cancel",))
    if seat is Seat.CANCELLED and not is_past:
        links = PublicLinks.of(site.workspace)
        again = {"target": links.event(mine.held.name), "words": words.say("registration_again")}
        values["cancel"] = fragment("link.html", again)
    title = f"{words.say('registration_heading')} – {heading}"
    return site.page(request, words, title, fragment("registration.html", values))


def _is_past(site: Site, mine: Mine) -> bool:
    return mine.held.state != "open" or site.clock.now() >= mine.held.ends_at


def _state(site: Site, mine: Mine, words: Words) -> str:
    """How things stand, in one sentence."""
    found, held = mine.found, mine.held
    if held.state == "cancelled":
        return words.say("registration_off")
    if found.seat is Seat.CANCELLED:
        return words.say("registration_cancelled")
    if _is_past(site, mine):
        return words.say("registration_over")
    if found.seat is Seat.OFFERED and found.offered_until is not None:
        return words.say("registration_offered", time=shown_time(found.offered_until, held.zone, words))
    if found.seat is Seat.WAITING:
        return words.say("registration_waiting", position=str(found.position))
    return words.say("registration_here" if found.checked_in else "registration_confirmed")


def _section(name: str, words: Words, actions: tuple[str, ...]) -> Html:
    """A question with a button for each answer."""
    looks = {"accept": "", "decline": ' class="second"', "cancel": ' class="final"'}
    buttons = [
        fragment("action_button.html", {
            "value": action, "label": words.say(f"registration_{action}"), "look": Html(looks[action]),
        })
        for action in actions
    ]  # fmt: skip
    values = {
        "name": name, "heading": words.say(f"registration_{name}_heading"),
        "words": words.say(f"registration_{name}_words"), "buttons": joined(buttons),
    }  # fmt: skip
    return fragment("action.html", values)
