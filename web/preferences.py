"""The preference centre: what a person gets, how often, from when, and what is recorded of them.

The link came to their mailbox, so nobody logs in. GET shows, POST acts.
"""

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from tracking.timed_tokens import TimedPurpose, TimedToken
from web import choices, preference_form, rights_requests
from web.choices import Choices, Person
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import read_all
from web.rights_requests import Kind
from web.site import Site, site_of
from web.speaking import topic_label
from web.timed_links import has_ended, opened

_OPENED_BY = (TimedPurpose.PREFERENCES, TimedPurpose.MAIL_PREFERENCES)


async def preference_page(request: Request) -> Response:
    """The page with everything as it is at present. Changes nothing."""
    site, token = site_of(request), opened(request, *_OPENED_BY)
    if isinstance(token, Response):
        return token
    found = await site.off_loop(_found, site, token)
    return has_ended(site, request) if found is None else _page(site, request, *found, NOTHING)


async def preferences_sent(request: Request) -> Response:
    """What was chosen counts from now on, or a link to one's data is on its way; 400 to any other form."""
    site, token = site_of(request), opened(request, *_OPENED_BY)
    if isinstance(token, Response):
        return token
    fields = await read_all(request)
    action, now = fields.get("action", [""])[-1], site.clock.now()
    if action in tuple(Kind):
        return await _link_sent(site, request, token, Kind(action))
    wishes = preference_form.read(fields, site.workspace.settings, now) if action == "save" else None
    if wishes is None and action != "stop":
        return site.message_page(request, "bad_request", 400)
    found = await (site.opting_out if wishes is None else site.off_loop)(_changed, site, request, token, wishes)
    if found is None:
        return has_ended(site, request)
    person, after = found
    words = site.words(request, person.language)
    refused = [] if wishes is None else sorted({topic for (_, topic) in wishes.wanted if not _has(after, topic)})
    return _page(site, request, person, after, _status(site, words, refused, is_stop=wishes is None))


def _has(after: Choices, topic: str) -> bool:
    """Whether the topic is on, or is none we have."""
    return any(is_on for (_, its), is_on in after.wanted.items() if its == topic) or topic not in {
        its for _, its in after.wanted
    }


async def _link_sent(site: Site, request: Request, token: TimedToken, kind: Kind) -> Response:
    """A link to one's data was ordered, as if its address had been entered."""
    found = await site.off_loop(_found, site, token)
    if found is None:
        return has_ended(site, request)
    if rights_requests.campaign_of(site, kind) is None:
        return site.message_page(request, "bad_request", 400)
    person, _ = found
    words = site.words(request, person.language)
    await site.off_loop(rights_requests.ask, site, kind, person.email, words)
    return rights_requests.on_its_way(site, request, words, kind)


def _found(site: Site, token: TimedToken) -> tuple[Person, Choices] | None:
    with site.database.begin() as connection:
        person = _person(connection, token)
        if person is None:
            return None
        return person, choices.choices_of(connection, person, site.workspace.settings, site.clock.now())


def _person(connection: Connection, token: TimedToken) -> Person | None:
    if token.purpose is TimedPurpose.PREFERENCES:
        return choices.person_with(connection, token.subject_id)
    return choices.recipient_of(connection, token.subject_id)


def _changed(
    site: Site, request: Request, token: TimedToken, wishes: choices.Wishes | None
) -> tuple[Person, Choices] | None:  # fmt: skip
    """What the person gets after their wishes were carried out (None: everything was to stop)."""
    settings, now = site.workspace.settings, site.clock.now()
    proof = {"link": token.purpose.value, "subject": token.subject_id, "from": site.visitor(request)}
    with site.database.begin() as connection:
        person = _person(connection, token)
        if person is None:
            return None
        if wishes is None:
            choices.stop_all(connection, person, settings, proof, now)
        else:
            choices.save(connection, person, settings, wishes, proof, now)
        return person, choices.choices_of(connection, person, settings, now)


def _status(site: Site, words: Words, refused: list[str], *, is_stop: bool) -> Html:
    told = [fragment("status.html", {"words": words.say("choices_stopped" if is_stop else "choices_saved")})]
    if refused:
        labels = [topic_label(site.workspace.settings, topic, words) for topic in refused]
        spoken = words.say("choices_blocked", topics=words.listed(labels), address=site.mailbox)
        told.append(fragment("warning.html", {"words": spoken}))
    return joined(told)


def _page(site: Site, request: Request, person: Person, found: Choices, status: Html) -> Response:
    words = site.words(request, person.language)
    content = preference_form.shown(person, found, site.workspace.settings, words, status)
    return site.page(request, words, words.say("choices_heading"), content)
