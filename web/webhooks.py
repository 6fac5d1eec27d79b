"""`/hooks/<provider>`: what mail providers report. A 2xx is only given once everything is committed (S-4.18)."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from campaigns.feedback import Receiver, take
from core import audit
from core.schema import used_token
from tracking.webhooks import Arrived, NotGenuine, Report, Unreadable
from tracking.webhooks.sns import fetch
from web import pages
from web.site import Site, site_of
from web.visitors import visitor_of

#: A request holds up to a thousand events.
MAX_BODY: Final = 2 * 1024 * 1024
_log = logging.getLogger("clarion.webhooks")
_METHODS: Final = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def routes() -> list[Route]:
    """The routes of all providers; one that is not set leads nowhere."""
    return [
        Route(place, reported, methods=_METHODS, max_body_size=MAX_BODY)
        for place in ("/hooks/{provider}", "/hooks/{provider}/")
    ]


async def reported(request: Request) -> Response:
    """The events are taken and committed: 200. Unsigned: 401, wrongly signed: 403, senseless: 400; then nothing has
    changed."""
    site, provider = site_of(request), request.path_params["provider"]
    if not site.hooks.is_set(provider):
        return site.not_found(request)
    if request.method != "POST":
        return pages.plain("method not allowed", 405, allow="POST")
    visitor = visitor_of(request, site.workspace.settings.web)
    arrived = Arrived(_headers(request), await request.body(), site.clock.now(), visitor)
    try:
        report = await site.off_loop(site.hooks.read, provider, arrived)
        words = await site.off_loop(_taken, site, provider, arrived, report)
    except NotGenuine as error:
        _log.warning("a request to the webhook %s was refused: %s", provider, error.message)
        return pages.plain("refused", error.status)
    except Unreadable as error:
        _log.warning("a request to the webhook %s made no sense: %s", provider, error.message)
        return pages.plain("unreadable", 400)
    if report.confirm_url is not None and not await site.off_loop(_confirmed, site, report.confirm_url):
        return pages.plain("not confirmed", 502)
    return pages.plain(words)


def _headers(request: Request) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _taken(site: Site, provider: str, arrived: Arrived, report: Report) -> str:
    """Everything is committed; how many events were new, in words.

    Raises:
        NotGenuine: the request brings a token that was used for another one.
    """
    with site.database.begin() as connection:
        if report.token is not None and not _use(connection, report, arrived):
            return "known"
        receiver = Receiver.of(site.workspace)
        effects = take(connection, report.feedbacks, receiver, arrived.now)
    fresh = [effect for effect in effects if effect.is_new]
    unknown = sum(effect.feedback.kind == "unknown" for effect in fresh)
    if unknown:
        _log.info("the webhook %s reported %d events of kinds nobody knows", provider, unknown)
    return f"{len(fresh)} of {len(effects)} new"


def _use(connection: Connection, report: Report, arrived: Arrived) -> bool:
    """The token is used up; False: by this very request, which is repeated because our answer was lost.

    Raises:
        NotGenuine: it was used for another request: somebody replays it.
    """
    assert report.token is not None  # noqa: S101  asked by the caller
    whole = hashlib.sha256(report.token + arrived.body).digest()
    if _is_new(connection, report.token, report, arrived):
        return _is_new(connection, whole, report, arrived)
    if not _is_new(connection, whole, report, arrived):
        return False
    raise NotGenuine("the token was used before")


def _is_new(connection: Connection, digest: bytes, report: Report, arrived: Arrived) -> bool:
    values = {"digest": digest, "used_at": arrived.now, "forget_at": report.forget_at}
    added = insert(used_token).values(values).on_conflict_do_nothing().returning(used_token.c.digest)
    return connection.execute(added).first() is not None


def _confirmed(site: Site, url: str) -> bool:
    """Amazon knows that we want to hear of the topic; False: it cannot be reached."""
    if fetch(url) is None:
        return False
    with site.database.begin() as connection:
        audit.record(connection, audit.ITSELF, "webhook.confirm", "webhook:ses")
    return True
