"""What a form sent: its fields, whichever of the two encodings they came in."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

_MAX_FIELDS: Final = 60
#: Nothing that people write into these forms is longer.
LONGEST: Final = 300


async def read_all(request: Request) -> Mapping[str, list[str]]:
    """The form's fields with all their values, names in lower case, as `multipart/form-data` or
    `application/x-www-form-urlencoded`; a body without a type counts as the latter. Empty when it cannot be read."""
    found: dict[str, list[str]] = {}
    for name, value in await _pairs(request):
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found


async def read_fields(request: Request) -> Mapping[str, str]:
    """The fields with the last value of each."""
    return {name: values[-1] for name, values in (await read_all(request)).items()}


async def _pairs(request: Request) -> list[tuple[str, str]]:
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        async with request.form(max_files=0, max_fields=_MAX_FIELDS) as form:
            return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qsl(body, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []
