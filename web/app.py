"""The public pages as one ASGI application: routes, limits, and one way to fail."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import Clock
from core.database import Database
from core.errors import ConfigError, NotFound, PlanError, ServiceError
from core.fresh_settings import FreshWorkspace
from core.workspace import Workspace
from web import pages, webhooks
from web.api import routes as api
from web.calendar_feed import calendar_feed
from web.confirming import confirm_now, confirm_page
from web.door import door_page, door_sent
from web.events import event_form_sent, event_page
from web.inquiries import inquiry_page, inquiry_sent
from web.preferences import preference_page, preferences_sent
from web.registrations import registration_calendar, registration_page, registration_sent
from web.renewing import Renewing
from web.rights import ask_page, asked, erase_page, erased, export_page, exported
from web.signing_up import form_page, form_sent
from web.site import Site, site_of
from web.surveys import survey_page, survey_sent
from web.tracked import clicked, opened, viewed
from web.unsubscribing import unsubscribe_now, unsubscribe_page

Handler = Callable[[Request], Awaitable[Response]]

#: Forms of these pages are a few hundred bytes.
MAX_BODY: Final = 16 * 1024
#: Forms with what several people wrote, or with a letter.
LONG_FORM: Final = 256 * 1024
_log = logging.getLogger("clarion.web")


def create_app(workspace: Workspace, database: Database, clock: Clock) -> Starlette:
    """The application. Its lifespan ends when every hit that arrived is committed."""
    site = Site.of(workspace, database, clock)
    fresh = FreshWorkspace(workspace)  # now: Starlette makes what stands before the routes with the first request
    app = Starlette(
        routes=[
            *_at("/o/{token}.gif", {"GET": opened}),
            *_at("/c/{token}", {"GET": clicked, "OPTIONS": clicked}),
            *_at("/u/{token}", {"GET": unsubscribe_page, "POST": unsubscribe_now}),
            *_at("/v/{token}", {"GET": viewed}),
            *_at("/f/{form}", {"GET": form_page, "POST": form_sent}),
            *_at("/k/{token}", {"GET": confirm_page, "POST": confirm_now}),
            *_at("/p/{token}", {"GET": preference_page, "POST": preferences_sent}),
            *_at("/my", {"GET": ask_page, "POST": asked}),
            *_at("/x/{token}", {"GET": export_page, "POST": exported}),
            *_at("/e/{token}", {"GET": erase_page, "POST": erased}),
            *_at("/events/{event}", {"GET": event_page, "POST": event_form_sent}, LONG_FORM),
            *_at("/r/{token}", {"GET": registration_page, "POST": registration_sent}),
            *_at("/r/{token}/calendar.ics", {"GET": registration_calendar}),
            *_at("/s/{survey}/{token}", {"GET": survey_page, "POST": survey_sent}, LONG_FORM),
            *_at("/i/{desk}", {"GET": inquiry_page, "POST": inquiry_sent}, LONG_FORM),
            *_at("/door/{event}/{token}", {"GET": door_page, "POST": door_sent}),
            *_at("/calendar/{token}.ics", {"GET": calendar_feed}),
            *_at("/healthz", {"GET": healthy}),
            *webhooks.routes(),
            *api.routes(),
        ],
        exception_handlers={
            HTTPException: _refused,
            UnicodeError: _unreadable,
            SQLAlchemyError: _unavailable,
            ServiceError: _unavailable,
            ConfigError: _not_ready,
            NotFound: _not_ready,
            PlanError: _not_ready,
            Exception: _failed,
        },
        middleware=[Middleware(Renewing, site=site, fresh=fresh)],
        lifespan=_lifespan,
        max_body_size=MAX_BODY,
    )
    app.router.redirect_slashes = False  # a one-click request must never be redirected (S-2.16)
    app.state.site = site
    return app


def _at(path: str, handlers: dict[str, Handler], max_body: int = MAX_BODY) -> list[Route]:
    """The routes of one address, with and without a slash at its end: HEAD is answered like GET, OPTIONS says
    what there is, other methods get 405."""
    handlers = {**handlers, "HEAD": handlers["GET"]}
    allowed = ", ".join(sorted({*handlers, "OPTIONS"}))

    async def answer(request: Request) -> Response:
        handler = handlers.get(request.method)
        if handler is not None:
            return await handler(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**pages.COMMON_HEADERS, "allow": allowed})
        return pages.plain("method not allowed", 405, allow=allowed)

    return [Route(place, answer, methods=_METHODS, max_body_size=max_body) for place in (path, f"{path}/")]


_METHODS: Final = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.site.close()


async def healthy(request: Request) -> Response:
    """200 when the database answers."""
    site = site_of(request)

    def ask() -> None:
        with site.database.begin() as connection:
            connection.execute(text("SELECT 1"))

    await site.threads.run(site.threads.health, ask)
    return pages.plain("ok")


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return site_of(request).not_found(request)
    return _told(request, "bad_request", status)


async def _unreadable(request: Request, error: Exception) -> Response:  # noqa: ARG001  it quotes what was sent
    """What was sent cannot be read."""
    return _told(request, "bad_request", 400)


async def _unavailable(request: Request, error: Exception) -> Response:
    """The database could not be asked. Its message is not logged: it may quote the row, and the row names
    people."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    _log.error("a request to /%s/ failed: %s %s", request.url.path[1:2], type(cause).__name__, state or "")
    answer = _told(request, "unavailable", 503)
    answer.headers["retry-after"] = "60"
    return answer


async def _not_ready(request: Request, error: Exception) -> Response:
    """The workspace's files do not hold what the page needs. They name nobody, so the mistake is logged."""
    _log.error("a request to /%s/ failed: %s", request.url.path[1:2], error)
    return _told(request, "unavailable", 503)


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001  the server logs it
    return _told(request, "unavailable", 500)


def _told(request: Request, name: str, status: int) -> Response:
    """The page that says so, or to a program JSON."""
    if request.url.path.startswith(f"{api.BASE}/"):
        return api.failed(status)
    return site_of(request).message_page(request, name, status)
