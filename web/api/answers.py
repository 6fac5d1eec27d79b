"""What the API answers: JSON, and every refusal in one shape."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import Response

from core.errors import ConfigError, EngineError, NotFound, PlanError, ServiceError
from web.pages import COMMON_HEADERS

#: A caller that was told so tries again after as many seconds.
_LATER_S: Final = 5
_MOST_PROBLEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with one value; `at` is its place, such as `activities.0.name`."""

    at: str
    message: str


class Refusal(Exception):
    """A call that is not carried out: nothing has changed."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", mistakes: Sequence[Mistake] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.mistakes, self.headers = tuple(mistakes), dict(headers or {})


def answer(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The content as JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"
    return Response(body.encode(), status, media_type="application/json", headers={**COMMON_HEADERS, **(headers or {})})


def refused(refusal: Refusal) -> Response:
    """The one shape of refusals: `{"error": {"code": …, "message": …, "hint": …, "problems": […]}}`."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.hint:
        error["hint"] = refusal.hint
    if refusal.mistakes:
        error["problems"] = [{"at": one.at, "message": one.message} for one in refusal.mistakes[:_MOST_PROBLEMS]]
    return answer(refusal.status, {"error": error}, refusal.headers)


def unavailable() -> Refusal:
    """The database cannot be asked, or somebody holds what the call needs for long."""
    return Refusal(503, "unavailable", "not available just now", headers={"retry-after": str(_LATER_S)})


def refusal_of(error: EngineError) -> Refusal:
    """What an error of the engine is to a caller."""
    if isinstance(error, ServiceError | ConfigError):
        return unavailable()
    kinds: tuple[tuple[type[EngineError], int, str], ...] = (
        (NotFound, 404, "not_found"), (PlanError, 409, "conflict"), (EngineError, 422, "invalid"),
    )  # fmt: skip
    status, code = next((status, code) for kind, status, code in kinds if isinstance(error, kind))
    return Refusal(status, code, error.message, hint=error.hint)


def unfit(error: ValidationError) -> Refusal:
    """What the body should have been; nothing of what it held is repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if len(found) == 1 and found[0]["type"] == "json_invalid":
        return Refusal(400, "not_json", "the body is no JSON")
    mistakes = [Mistake(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in found]
    return Refusal(422, "invalid", f"{len(mistakes)} of the values cannot be taken", mistakes=mistakes)
