"""The addresses of the API, and what each does."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.api import activities
from web.api.answers import Refusal, answer, refused
from web.api.calls import posting
from web.api.openapi import Described, description
from web.site import site_of

Handler = Callable[[Request], Awaitable[Response]]

BASE: Final = "/api/v1"
#: A thousand activities with their properties.
MAX_BODY: Final = 2 * 1024 * 1024
_METHODS: Final = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

DESCRIBED: Final = (
    Described(
        "POST", "/activities", "activities", "Record what customers did",
        {200: "of each activity: new, changed, known, or unknown_customer"}, activities.Activities,
    ),
)  # fmt: skip
_HANDLERS: Final[dict[str, dict[str, Handler]]] = {
    "/activities": {"POST": posting("activities", activities.Activities, activities.record)},
}


def routes() -> list[Route]:
    """Every address of the API; without keys in clarion.yaml none of them is there."""
    handlers: dict[str, dict[str, Handler]] = {**_HANDLERS, "/openapi.json": {"GET": described}, "/{path:path}": {}}
    return [_at(path, by_method) for path, by_method in handlers.items()]


async def described(request: Request) -> Response:  # noqa: ARG001  the same for everybody
    """The description of the API, for programs."""
    return answer(200, description(DESCRIBED))


def _at(path: str, by_method: dict[str, Handler]) -> Route:
    allowed = ", ".join(sorted(by_method))

    async def respond(request: Request) -> Response:
        if not site_of(request).workspace.settings.api.keys:
            return site_of(request).not_found(request)
        if not by_method:
            return refused(Refusal(404, "not_found", "there is no such address"))
        handler = by_method.get(request.method)
        if handler is None:
            return refused(Refusal(405, "method", f"expected {allowed}", headers={"allow": allowed}))
        return await handler(request)

    return Route(f"{BASE}{path}", respond, methods=_METHODS, max_body_size=MAX_BODY)
