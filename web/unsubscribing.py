"""Unsubscribing: a page with one button, and the one-click request of mail programs (RFC 8058).

GET shows, POST acts: scanners follow every link of a mail (S-2.16 to S-2.18, S-6.6).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from core import schema
from suppression.record import unsubscribe
from tracking.hits import Hit, store
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose
from web import pages
from web.languages import Words
from web.pages import NOTHING, Html
from web.reading import read_fields
from web.site import Site, site_of
from web.speaking import shown_address, topic_label


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a page is for: their language, and their address if it is still the one that was written to."""

    topic: str
    language: str | None
    email: str | None
    message_id: int
    sent_at: datetime


async def unsubscribe_page(request: Request) -> Response:
    """The page that asks what should stop. Changes nothing."""
    site = site_of(request)
    token = site.token(request, Purpose.UNSUBSCRIBE)
    recipient = await site.opting_out(_recipient, site, token.message_id) if token else None
    if recipient is None:
        return site.not_found(request)
    return _question(site, request, site.words(request, recipient.language), recipient)


async def unsubscribe_now(request: Request) -> Response:
    """The recipient is unsubscribed: by their mail program's request or by the page's form.

    Answers 200 without redirect or cookie, however often it comes; 400, with nothing changed, to any other
    form.
    """
    site = site_of(request)
    token = site.token(request, Purpose.UNSUBSCRIBE)
    if token is None:
        return site.not_found(request)
    fields = await read_fields(request)
    one_click = fields.get("list-unsubscribe", "").lower() == "one-click"
    choice = "topic" if one_click else fields.get("choice")
    if choice not in ("topic", "everything"):
        return site.message_page(request, "bad_request", 400)
    source = "one_click" if one_click else "page"
    # A program acts for the person here: whatever it is, the hit is theirs.
    hit = Hit(
        token.message_id,
        "unsubscribe",
        site.clock.now(),
        ip=site.visitor(request),
        user_agent=request.headers.get("user-agent"),
    )
    recipient = await site.opting_out(_unsubscribe, site, hit, source, everything=choice == "everything")
    if recipient is None:
        return site.not_found(request)
    if one_click:
        return pages.plain("unsubscribed")
    return _confirmation(site, request, site.words(request, recipient.language), recipient, choice)


def _recipient(site: Site, message_id: int) -> Recipient | None:
    message, customer, version = schema.message, schema.customer, schema.campaign_version
    query = (
        select(
            version.c.topic,
            message.c.not_before,
            customer.c.language,
            customer.c.email,
            (customer.c.address_key == message.c.address_key).label("same"),
        )
        .select_from(message)
        .join(schema.run, schema.run.c.id == message.c.run_id)
        .join(version, version.c.id == schema.run.c.version_id)
        .outerjoin(customer, customer.c.id == message.c.customer_id)
        .where(message.c.id == message_id, message.c.address_key.is_not(None))
    )
    with site.database.begin() as connection:
        found = connection.execute(query).one_or_none()
    if found is None:
        return None
    email = found.email if found.same else None
    return Recipient(found.topic, found.language, email, message_id, found.not_before)


def _unsubscribe(site: Site, hit: Hit, source: str, *, everything: bool) -> Recipient | None:
    with site.database.begin() as connection:
        done = unsubscribe(
            connection, message_id=hit.message_id, source=source, everything=everything, now=hit.occurred_at
        )
        if done is not None:
            store(connection, [hit])
    return _recipient(site, hit.message_id) if done else None


def _question(site: Site, request: Request, words: Words, recipient: Recipient) -> Response:
    organisation = site.workspace.settings.organisation.name
    heading = words.say("unsubscribe_heading", organisation=organisation)
    whose = (
        words.say("unsubscribe_whose", address=shown_address(recipient.email))
        if recipient.email
        else words.say("unsubscribe_whose_unknown")
    )
    values = {
        "heading": heading,
        "whose": whose,
        "question": words.say("unsubscribe_question"),
        "only_topic": words.say(
            "unsubscribe_only_topic", topic=topic_label(site.workspace.settings, recipient.topic, words)
        ),
        "everything": words.say("unsubscribe_everything", organisation=organisation),
        "button": words.say("unsubscribe_button"),
    }
    content = pages.joined([pages.fragment("unsubscribe.html", values), _less(site, words, recipient)])
    return site.page(request, words, heading, content)


def _confirmation(site: Site, request: Request, words: Words, recipient: Recipient, choice: str) -> Response:
    heading = words.say("unsubscribed_heading")
    spoken = words.say(
        f"unsubscribed_{choice}",
        organisation=site.workspace.settings.organisation.name,
        topic=topic_label(site.workspace.settings, recipient.topic, words),
    )
    return site.message(request, words, heading, spoken, _less(site, words, recipient))


def _less(site: Site, words: Words, recipient: Recipient) -> Html:
    """The link to less mail rather than none: the very one of the mail's footer, as long as that is good."""
    ends_at = recipient.sent_at + site.workspace.settings.pages.links.mailings
    if recipient.email is None or ends_at <= site.clock.now():
        return NOTHING
    token = site.timed.sign(TimedPurpose.MAIL_PREFERENCES, recipient.message_id, ends_at)
    target = f"{site.workspace.settings.tracking.base_url}/p/{token}"
    return pages.fragment("link.html", {"target": target, "words": words.say("confirmed_manage")})
