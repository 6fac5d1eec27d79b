"""Kinds of values that several sections of `clarion.yaml` hold: names, addresses, one line of text, web addresses."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

from core.addresses import NO_ADDRESS, parse_address
from core.errors import AddressError
from core.units import Unfit, quoted

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=80)]


def _email(text: str) -> str:
    try:
        return parse_address(text).email
    except AddressError as error:
        raise Unfit(quoted(text), "an e-mail address", error.message.removeprefix(NO_ADDRESS)) from None


def _header_text(text: str) -> str:
    if any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in text):
        raise Unfit(quoted(text), "one line of text without line break or control character")
    return text


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # brackets, a port out of range, or a host that no name server could be asked for
        is_usable = False
    if not is_usable:
        raise Unfit(quoted(text), "an address such as 'https://news.example.com'")
    if not all("!" <= char <= "~" for char in parts.path + parts.query):
        raise Unfit(
            quoted(text), "an address whose path has no spaces and no letters beyond ASCII: write them as %C3%A4"
        )
    return text


def _base_url(text: str) -> str:
    return _http_url(text).rstrip("/")


Email = Annotated[str, AfterValidator(_email)]
HeaderText = Annotated[str, AfterValidator(_header_text)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
#: Paths are added to it: it ends without a slash.
BaseUrl = Annotated[str, AfterValidator(_base_url)]
