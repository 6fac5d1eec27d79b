"""Confirming a sign-up: a page that asks once more, and a button. GET shows, POST acts: scanners follow every link."""

from typing import Any

from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from tracking.timed_tokens import TimedPurpose, TimedToken
from web import pages, sign_ups
from web.languages import Words
from web.pages import Html, fragment
from web.sign_ups import Confirmed
from web.site import Site, site_of
from web.speaking import shown_address, topic_label
from web.timed_links import opened, was_used


async def confirm_page(request: Request) -> Response:
    """The page that asks whether it was you. Changes nothing."""
    site, token = site_of(request), opened(request, TimedPurpose.CONFIRM)
    if isinstance(token, Response):
        return token
    asked = await site.off_loop(_asked, site, token)
    if asked is None:
        return was_used(site, request)
    words = site.words(request, asked.language)
    heading = words.say("confirm_heading")
    organisation = site.workspace.settings.organisation.name
    whose = words.say("confirm_whose", organisation=organisation, address=shown_address(asked.email))
    values = {
        "heading": heading, "words": pages.joined([_paragraph(whose), _topics(site, words, asked.topics)]),
        "look": pages.NOTHING, "button": words.say("confirm_button"),
        "after": fragment("hint.html", {"words": words.say("confirm_not_you")}),
    }  # fmt: skip
    return site.page(request, words, heading, fragment("question.html", values))


async def confirm_now(request: Request) -> Response:
    """What was asked for is agreed to; a second time the link is refused."""
    site, token = site_of(request), opened(request, TimedPurpose.CONFIRM)
    if isinstance(token, Response):
        return token
    asked = await site.off_loop(_asked, site, token)
    done = await site.off_loop(sign_ups.confirm, site, token, site.visitor(request)) if asked is not None else None
    if asked is None or done is None:
        return was_used(site, request)
    words = site.words(request, asked.language)
    return site.message(request, words, words.say("confirmed_heading"), *_spoken(site, words, done))


def _spoken(site: Site, words: Words, done: Confirmed) -> list[str | Html]:
    """What came of it, and where more can be chosen."""
    settings = site.workspace.settings
    labels = words.listed([topic_label(settings, topic, words) for topic in done.topics])
    spoken: list[str | Html] = []
    if done.topics:
        spoken.append(words.say("confirmed_words", organisation=settings.organisation.name, topics=labels))
    if done.blocked:
        spoken.append(words.say("confirmed_blocked", address=site.mailbox))
    target = site.link("p", TimedPurpose.PREFERENCES, done.address_key.int, settings.pages.links.preferences)
    return [*spoken, fragment("link.html", {"target": target, "words": words.say("confirmed_manage")})]


def _asked(site: Site, token: TimedToken) -> Row[Any] | None:
    with site.database.begin() as connection:
        return sign_ups.sign_up_of(connection, token)


def _paragraph(words: str) -> Html:
    return fragment("paragraph.html", {"words": words})


def _topics(site: Site, words: Words, topics: list[str]) -> Html:
    settings = site.workspace.settings
    items = [fragment("item.html", {"words": topic_label(settings, topic, words)}) for topic in topics]
    return fragment("list.html", {"items": pages.joined(items)})
