"""What a form sent: its fields, whichever of the two encodings they came in."""

import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from core.addresses import Address, parse_address
from core.errors import AddressError

_MAX_FIELDS: Final = 200
#: Nothing that people write into these forms is longer.
LONGEST: Final = 300
#: A field of `html/form.html` that people do not see; programs fill it in (S-9.10).
_TRAP: Final = "homepage"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
#: What a form sent: a field may have several values.
Sent = Mapping[str, list[str]]


async def read_all(request: Request) -> Sent:
    """The form's fields with all their values, names in lower case, as `multipart/form-data` or
    `application/x-www-form-urlencoded`; a body without a type counts as the latter. Empty when it cannot be read."""
    found: dict[str, list[str]] = {}
    for name, value in await _pairs(request):
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found


async def read_fields(request: Request) -> Mapping[str, str]:
    """The fields with the last value of each."""
    return {name: values[-1] for name, values in (await read_all(request)).items()}


def last(sent: Sent, name: str) -> str:
    """The last value of a field; empty when there is none."""
    return sent.get(name, [""])[-1]


def address_in(sent: Sent, name: str = "email") -> Address | None:
    """The address that was entered as `name`; None when it is none."""
    text = last(sent, name)
    try:
        return parse_address(text) if len(text) <= LONGEST else None
    except AddressError:
        return None


def token_in(sent: Sent, name: str) -> str:
    """What names the form, so that sending it twice is sending it once; one without a name of ours gets a new one."""
    token = last(sent, name)
    return token if _TOKEN.fullmatch(token) else secrets.token_urlsafe(18)


def is_programs(sent: Sent) -> bool:
    """Whether the field nobody sees was filled in."""
    return any(sent.get(_TRAP, ()))


async def _pairs(request: Request) -> list[tuple[str, str]]:
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _parts(request)
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qsl(body, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


async def _parts(request: Request) -> list[tuple[str, str]]:
    """The parts of a multipart form.

    The charset it names is not asked: Python knows some that fail, or take time without end. All is read byte by byte,
    and then as UTF-8, which is what browsers send.

    Raises:
        HTTPException: it is none.
    """
    kind, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary or b'"' in boundary:
        raise HTTPException(400)
    plain = Headers(raw=[(b"content-type", b'multipart/form-data; charset=latin-1; boundary="' + boundary + b'"')])
    parser = MultiPartParser(plain, request.stream(), max_files=0, max_fields=_MAX_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400) from error
    return [(_text(name), _text(value)) for name, value in form.multi_items() if isinstance(value, str)]


def _text(read: str) -> str:
    return read.encode("latin-1", "replace").decode("utf-8", "replace")
