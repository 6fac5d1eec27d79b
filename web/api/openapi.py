"""The OpenAPI description of the API, made of the very models that read its bodies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

VERSION: Final = "3.1.0"
_REFUSED: Final = {"$ref": "#/components/responses/Refused"}
_ERROR: Final[dict[str, Any]] = {
    "type": "object", "required": ["error"],
    "properties": {"error": {
        "type": "object", "required": ["code", "message"],
        "properties": {
            "code": {"type": "string"}, "message": {"type": "string"}, "hint": {"type": "string"},
            "problems": {"type": "array", "items": {
                "type": "object", "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            }},
        },
    }},
}  # fmt: skip
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "with it the call is carried out once, however often it comes within two days",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Described:
    """One call, as the description tells it. `answers`: what each status of success means."""

    method: str
    path: str
    scope: str
    summary: str
    answers: Mapping[int, str]
    body: type[BaseModel] | None = None
    errors: tuple[int, ...] = field(default=(400, 401, 403, 415, 422, 429, 503))


def description(calls: tuple[Described, ...], server: str = "/api/v1") -> dict[str, Any]:
    """The whole of it, as JSON values."""
    bodies = sorted({call.body for call in calls if call.body is not None}, key=lambda body: body.__name__)
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": VERSION,
        "info": {"title": "Clarion", "version": "1", "description": "What other programs tell Clarion, as it happens."},
        "servers": [{"url": server}], "security": [{"key": []}], "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {"Refused": {
                "description": "nothing was changed", "content": {"application/json": {"schema": _ERROR}},
            }},
            "schemas": schemas.get("$defs", {}),
        },
    }  # fmt: skip


def _operation(call: Described) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": call.summary, "description": f"Needs the scope `{call.scope}`.",
        "responses": {
            **{str(status): {"description": text} for status, text in call.answers.items()},
            **{str(status): _REFUSED for status in call.errors},
        },
    }  # fmt: skip
    if "{name}" in call.path:
        told["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    if call.body is not None:
        reference = {"$ref": f"#/components/schemas/{call.body.__name__}"}
        told["parameters"] = [_IDEMPOTENCY_KEY]
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return told
