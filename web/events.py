"""The page of an event: what, when and where it is, and a form on which anybody registers.

GET shows; POST takes the form, and answers everybody alike, registered or not (S-7.14): a mail to each address says
what became of it, as far as limits let it go, and the answer says no more than that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from campaigns.events import registering, seats
from campaigns.events.held import HeldEvent, event_of
from campaigns.events.registering import Answer, Order
from core.errors import ConfigError, NotFound
from core.field_types import NAME_PATTERN
from core.form_settings import Captcha, in_language
from core.people_lock import people_stay
from web import captchas, event_form, widgets
from web.content import people_digest
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import Sent, is_programs, last, read_all
from web.registration_limits import admitted, remember
from web.signing_up import is_allowed, too_many
from web.site import Site, site_of
from web.times import ZONES, shown_span, shown_time, shown_zone
from web.widgets import Choice, Problems

#: Below this share of the seats the page says that there are few: never how many, for a count before and after would
#: tell whether an address was registered (S-7.14).
_FEW: Final = 0.1
_NOTHING_YET: Final[Mapping[str, list[str]]] = {}


@dataclass(frozen=True, slots=True)
class Shown:
    """An event and what its page says at present: how the seats stand is told by a word alone."""

    held: HeldEvent
    answer: Answer
    waits: bool  # who comes now waits
    is_few: bool
    captcha: Captcha | None


async def event_page(request: Request) -> Response:
    """The event, and the form as long as one can register. Changes nothing."""
    site = site_of(request)
    shown = await site.off_loop(_shown, site, str(request.path_params["event"]))
    if shown is None:
        return site.not_found(request)
    return _page(site, request, shown, site.words(request), _NOTHING_YET, {})


async def event_form_sent(request: Request) -> Response:
    """Each person of the form has a seat or a place on the list, and a mail that says so; the answer does not tell.

    422 when something is missing, 409 when nobody can register now, 429 when too many forms come from there.
    """
    site = site_of(request)
    shown = await site.off_loop(_shown, site, str(request.path_params["event"]))
    if shown is None:
        return site.not_found(request)
    words, sent = site.words(request), await read_all(request)
    if shown.answer is not Answer.RECEIVED:
        return _page(site, request, shown, words, sent, {}, status=409)
    if last(sent, "action") == "more":
        more = event_form.one_more(shown.held.definition, sent)
        return _page(site, request, shown, words, more, {})
    order = event_form.read(shown.held.definition, words, sent)
    if not isinstance(order, Order):
        return _page(site, request, shown, words, sent, order)
    async with site.evenly():
        came_to = await _taken(site, request, shown, order, sent)
    if came_to == "captcha":
        return _page(site, request, shown, words, sent, {"captcha": words.say("form_captcha_problem")})
    if came_to == "limits":
        return too_many(site, request)
    if came_to is not Answer.RECEIVED:  # the last seat went meanwhile
        again = await site.off_loop(_shown, site, shown.held.name)
        return _page(site, request, again or shown, words, sent, {}, status=409)
    hint = fragment("hint.html", {"words": words.say("event_sent_hint", mailbox=shown.held.organiser_email)})
    return site.message(request, words, words.say("event_sent_heading"), words.say("event_sent_words"), hint)


def _shown(site: Site, name: str) -> Shown | None:
    if not re.fullmatch(NAME_PATTERN, name):
        return None
    with site.database.begin() as connection:
        try:
            held = event_of(connection, name)
        except NotFound:
            return None
        counts = seats.count(connection, held)
        answer = registering.answer_now(connection, held, site.clock.now())
    waits = counts.open_seats == 0
    is_few = counts.capacity is not None and not waits and counts.free < max(1, counts.capacity * _FEW)
    return Shown(held, answer, waits, is_few, _captcha(site, name))


def _captcha(site: Site, name: str) -> Captcha | None:
    """The service the event's file names: its secret is not kept in the database.

    Raises:
        ConfigError: the file has mistakes, and had them when it was first read.
    """
    source = site.events.now().get(name)
    if source is None:
        return None
    if source.definition is None:  # nobody knows whether a service is to be asked
        raise ConfigError(f"events/{name}.yaml has mistakes", hint="clarion validate names them")
    return source.definition.registration.captcha


async def _taken(site: Site, request: Request, shown: Shown, order: Order, sent: Sent) -> Answer | str:
    """What came of the form; `limits` and `captcha` kept it from being taken."""
    held, visitor = shown.held, site.visitor(request)
    per_hour = held.definition.registration.per_hour
    if not await site.off_loop(is_allowed, site, f"/events/{held.name}", visitor, per_hour):
        return "limits"
    if is_programs(sent):
        return Answer.RECEIVED  # which is not told
    if shown.captcha is not None:
        answer = last(sent, shown.captcha.answer.lower())
        if not await captchas.is_person(site.threads, shown.captcha, answer, visitor):
            return "captcha"
    return await site.off_loop(_registered, site, held.name, order)


def _registered(site: Site, name: str, order: Order) -> Answer:
    limits, secret, now = site.workspace.settings.pages.limits, site.workspace.secret, site.clock.now()
    with site.transaction() as connection:
        people_stay(connection)
        those = admitted(connection, secret, order.attendees, limits, now)
        if not those:
            return Answer.RECEIVED  # as everybody is told
        party = f"{order.party}:{people_digest(secret, order.attendees)}"
        order = Order(tuple(one.attendee for one in those), order.source, party)
        done = registering.register(connection, site.circumstances, name, order, now)
        remember(connection, those, done.placed, limits, now)
        return done.answer


def _page(
    site: Site, request: Request, shown: Shown, words: Words, sent: Sent, problems: Problems, *, status: int = 200
) -> Response:  # fmt: skip
    held = shown.held
    title = held.title(words.code)
    is_open = shown.answer is Answer.RECEIVED
    form = event_form.shown(held, words, sent, problems, shown.captcha, _note(shown, words)) if is_open else NOTHING
    told = "" if is_open else _why_not(shown, words)
    values = {
        "heading": title, "status": fragment("notice.html", {"words": told}) if told else NOTHING,
        "alert": widgets.alert(words, problems), "facts": facts(held, words, zone=_zone(request)),
        "about": _about(held, words), "zones": _zones(request, held, words), "form": form,
    }  # fmt: skip
    origins: tuple[str, ...] = ()
    head = NOTHING
    if is_open and shown.captcha is not None:
        origins, head = captchas.origins(shown.captcha), fragment("script.html", {"script": shown.captcha.script})
    return site.page(
        request, words, f"{words.say('form_problem')} {title}" if problems else title, fragment("event.html", values),
        status=422 if problems else status, origins=origins, head=head,
    )  # fmt: skip


def _note(shown: Shown, words: Words) -> str:
    if shown.waits:
        return words.say("event_waiting")
    return words.say("event_few") if shown.is_few else ""


def _why_not(shown: Shown, words: Words) -> str:
    held = shown.held
    if held.state == "cancelled":
        return words.say("event_cancelled")
    opens, _ = held.window
    if shown.answer is Answer.NOT_YET and opens is not None:
        return words.say("event_not_yet", time=shown_time(opens, held.zone, words))
    return words.say("event_full" if shown.answer is Answer.FULL else "event_closed")


def facts(held: HeldEvent, words: Words, *, zone: str | None = None, more: Mapping[str, str] | None = None) -> Html:
    """When and where: in the event's zone, and in the reader's where that is known and another (S-7.9). `more` stands
    before it."""
    lines = [shown_span(held.starts_at, held.ends_at, held.zone, words)]
    if zone is not None and zone != held.zone:
        lines.append(shown_span(held.starts_at, held.ends_at, zone, words))
    place = [part for part in (held.definition.place, _online(held, words)) if part]
    rows = [*(more or {}).items(), (words.say("event_when"), _lines(lines)), (words.say("event_where"), _lines(place))]
    return fragment(
        "facts.html", {"facts": joined([fragment("fact.html", {"name": name, "told": told}) for name, told in rows])}
    )


def _lines(told: list[str]) -> Html:
    return joined([fragment("fact_line.html", {"words": one}) for one in told])


def _online(held: HeldEvent, words: Words) -> str:
    """That it is online; where is told to those who have a seat, by mail."""
    return words.say("event_online") if held.definition.online is not None else ""


def _about(held: HeldEvent, words: Words) -> Html:
    text = in_language(held.definition.description, words.code) or ""
    return joined([fragment("paragraph.html", {"words": part.strip()}) for part in text.split("\n\n") if part.strip()])


def _zone(request: Request) -> str | None:
    wanted = request.query_params.get("zone")
    return wanted if wanted in ZONES else None


def _zones(request: Request, held: HeldEvent, words: Words) -> Html:
    """A choice of zones, by a form that asks for the same page."""
    chosen = _zone(request) or held.zone
    offered = ZONES if held.zone in ZONES else (held.zone, *ZONES)
    options = [Choice(zone, shown_zone(held.starts_at, zone), zone == chosen) for zone in offered]
    language = request.query_params.get("lang")
    kept = fragment("hidden.html", {"name": "lang", "value": words.code}) if language else NOTHING
    values = {
        "summary": words.say("event_zone_summary"), "label": words.say("event_zone"), "kept": kept,
        "button": words.say("event_zone_button"), "choices": joined([widgets.option(one) for one in options]),
    }  # fmt: skip
    return fragment("zones.html", values)
