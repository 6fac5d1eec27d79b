"""The addresses of the API, and what each does."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from campaigns.events.states import Seat
from customers.activities import Outcome
from web.api import activities, enrolments, inquiries, registrations
from web.api.answers import Refusal, answer, refused
from web.api.calls import MAX_BODY, asking, posting
from web.api.openapi import Described, description
from web.site import site_of

Handler = Callable[[Request], Awaitable[Response]]

BASE: Final = "/api/v1"
#: What is larger is not even read to be refused.
_MOST_READ: Final = 4 * MAX_BODY
_METHODS: Final = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def _either(outcomes: type[StrEnum]) -> str:
    *others, last = (outcome.value for outcome in outcomes)
    return f"{', '.join(others)} or {last}"


DESCRIBED: Final = (
    Described(
        "POST", "/activities", "activities", "Record what customers did",
        {200: f"of each activity: {_either(Outcome)}"}, activities.Activities,
    ),
    Described(
        "POST", "/enrolments", "enrolments", "Let a customer enter a sequence",
        {201: "they have entered", 200: "they are in it, or were, and may not enter again"}, enrolments.Enrolment,
        (400, 401, 403, 404, 409, 415, 422, 429, 503),
    ),
    Described(
        "POST", "/registrations", "registrations", "Register people for an event",
        {201: f"of each, what they have: {_either(Seat)}", 200: "they were registered before"},
        registrations.Registration, (400, 401, 403, 404, 409, 415, 422, 429, 503),
    ),
    Described(
        "GET", "/registrations/{name}", "registrations", "Tell how a registration stands",
        {200: f"the registration; its seat is {_either(Seat)}"}, errors=(401, 403, 404, 429, 503),
    ),
    Described(
        "DELETE", "/registrations/{name}", "registrations", "Withdraw a registration",
        {200: "it is withdrawn, or was before"}, errors=(401, 403, 404, 409, 429, 503),
    ),
    Described(
        "POST", "/inquiries", "inquiries", "Hand over what somebody asked",
        {201: "somebody has it as a task", 200: "it was received before"}, inquiries.Inquiry,
        (400, 401, 403, 404, 409, 415, 422, 429, 503),
    ),
)  # fmt: skip
_HANDLERS: Final[dict[str, dict[str, Handler]]] = {
    "/activities": {"POST": posting("activities", activities.Activities, activities.record)},
    "/enrolments": {"POST": posting("enrolments", enrolments.Enrolment, enrolments.enrol)},
    "/registrations": {"POST": posting("registrations", registrations.Registration, registrations.register)},
    "/registrations/{name}": {
        "GET": asking("registrations", registrations.told), "DELETE": asking("registrations", registrations.withdraw),
    },
    "/inquiries": {"POST": posting("inquiries", inquiries.Inquiry, inquiries.receive, inquiries.acknowledging)},
}  # fmt: skip


def routes() -> list[Route]:
    """Every address of the API; without keys in clarion.yaml none of them is there."""
    handlers: dict[str, dict[str, Handler]] = {**_HANDLERS, "/openapi.json": {"GET": described}, "/{path:path}": {}}
    return [_at(path, by_method) for path, by_method in handlers.items()]


async def described(request: Request) -> Response:  # noqa: ARG001  the same for everybody
    """The description of the API, for programs."""
    return answer(200, description(DESCRIBED))


def failed(status: int) -> Response:
    """What is said of a call that could not be read, or not be carried out."""
    if status >= 500:
        return refused(Refusal(status, "unavailable", "not available just now"))
    return refused(Refusal(status, "unreadable", "the request cannot be read"))


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

    return Route(f"{BASE}{path}", respond, methods=_METHODS, max_body_size=_MOST_READ)
