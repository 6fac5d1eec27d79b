"""The preference centre: what a person gets, how often, from when, and what is recorded of them.

The link came to their mailbox, so nobody logs in. GET shows, POST acts.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from core.addresses import parse_address
from core.mailboxes import limit_key
from core.people_lock import people_stay
from tracking.timed_tokens import TimedPurpose, TimedToken
from web import choices, mailboxes, preference_form, rights_requests
from web.choices import Choices, Offer
from web.languages import Words
from web.limits import answered
from web.mailboxes import Mailbox, Person
from web.pages import NOTHING, Html, fragment, joined
from web.reading import last, read_all
from web.rights import on_its_way
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
    action, now = last(fields, "action"), site.clock.now()
    if action in tuple(Kind):
        return await _link_sent(site, request, token, Kind(action))
    wishes = (
        preference_form.read(fields, site.workspace.settings, site.words(request), now) if action == "save" else None
    )
    if wishes is None and action != "stop":
        return site.message_page(request, "bad_request", 400)
    if wishes is None:
        return await _stopped(site, request, token)
    found = await site.off_loop(_saved, site, request, token, wishes)
    if found is None:
        return has_ended(site, request)
    person, after, is_fresh = found
    words = site.words(request, person.language)
    return _page(site, request, person, after, _status(site, words, wishes, after, is_fresh=is_fresh))


async def _stopped(site: Site, request: Request, token: TimedToken) -> Response:
    """Everything is stopped. The choices are shown to whoever still has the address the link came to."""
    found = await site.opting_out(_stop, site, request, token)
    if found is None:
        return has_ended(site, request)
    person, after = found
    words = site.words(request, person.language if person is not None else None)
    if person is None or after is None:
        return site.message(request, words, words.say("choices_stop_heading"), words.say("choices_stopped"))
    return _page(site, request, person, after, fragment("status.html", {"words": words.say("choices_stopped")}))


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
    return on_its_way(site, request, words, kind)


def _found(site: Site, token: TimedToken) -> tuple[Person, Choices] | None:
    with site.database.begin() as connection:
        person = _person(connection, token)
        if person is None:
            return None
        return person, choices.choices_of(connection, person, site.workspace.settings, site.clock.now())


def _person(connection: Connection, token: TimedToken) -> Person | None:
    if token.purpose is TimedPurpose.PREFERENCES:
        return mailboxes.person_at(connection, UUID(int=token.subject_id))
    return mailboxes.recipient_of(connection, token.subject_id)


def _proof(site: Site, request: Request, token: TimedToken, **more: Any) -> dict[str, Any]:
    is_address = token.purpose is TimedPurpose.PREFERENCES
    subject = str(UUID(int=token.subject_id)) if is_address else token.subject_id
    return {"link": token.purpose.value, "subject": subject, "from": site.visitor(request), **more}


def _saved(
    site: Site, request: Request, token: TimedToken, wishes: choices.Wishes
) -> tuple[Person, Choices, bool] | None:
    """What the person gets after their wishes were carried out, and whether the page was up to date."""
    settings, now = site.workspace.settings, site.clock.now()
    with site.transaction() as connection:
        people_stay(connection)
        person = _person(connection, token)
        if person is None:
            return None
        proof = _proof(site, request, token, language=site.words(request, person.language).code)
        _is_read(connection, site, person)
        is_fresh = choices.save(connection, person, settings, wishes, proof, now)
        return person, choices.choices_of(connection, person, settings, now), is_fresh


def _stop(site: Site, request: Request, token: TimedToken) -> tuple[Person | None, Choices | None] | None:
    """Whose mail was stopped, if they still have the address, and what they get now; None: nobody's."""
    now = site.clock.now()
    with site.database.begin() as connection:
        people_stay(connection)
        mailbox = _mailbox(connection, token)
        if mailbox is None:
            return None
        choices.stop_all(connection, mailbox, _proof(site, request, token), now)
        person = _person(connection, token)
        if person is None:
            return None, None
        _is_read(connection, site, person)
        return person, choices.choices_of(connection, person, site.workspace.settings, now)


def _is_read(connection: Connection, site: Site, person: Person) -> None:
    answered(connection, limit_key(site.workspace.secret, parse_address(person.email)))


def _mailbox(connection: Connection, token: TimedToken) -> Mailbox | None:
    if token.purpose is TimedPurpose.PREFERENCES:
        return mailboxes.mailbox_at(connection, UUID(int=token.subject_id))
    return mailboxes.mailbox_of(connection, token.subject_id)


def _status(site: Site, words: Words, wishes: choices.Wishes, after: Choices, *, is_fresh: bool) -> Html:
    """That it was saved; what could not be switched on from here, and what was stopped while the page lay open."""
    told = [fragment("status.html", {"words": words.say("choices_saved")})]
    off = {offer for offer in wishes.wanted if after.wanted.get(offer) is False}
    if refused := off & wishes.shown_off if is_fresh else frozenset():
        spoken = words.say("choices_blocked", topics=_labels(site, words, refused), address=site.mailbox)
        told.append(fragment("warning.html", {"words": spoken}))
    if stopped := off - refused:
        told.append(
            fragment("warning.html", {"words": words.say("choices_stale", topics=_labels(site, words, stopped))})
        )
    return joined(told)


def _labels(site: Site, words: Words, offers: Collection[Offer]) -> str:
    topics = sorted({topic for _, topic in offers})
    return words.listed([topic_label(site.workspace.settings, topic, words) for topic in topics])


def _page(site: Site, request: Request, person: Person, found: Choices, status: Html) -> Response:
    words = site.words(request, person.language)
    content = preference_form.shown(person, found, site.workspace.settings, words, status, site.clock.now())
    return site.page(request, words, words.say("choices_heading"), content)
