"""Addresses of services, which may hold a password: what is wrong is said without showing any of it."""

import re
from urllib.parse import urlsplit

from core.units import Unfit

_NOT_SHOWN = "an address that is not shown"
_ENCODED = "user and password percent-encoded ('@' as %40, ':' %3A, '/' %2F, '?' %3F, '#' %23, '%' %25)"
_LOOSE = re.compile(r"[\[\]\s]|%(?![0-9A-Fa-f]{2})")


def checked_url(text: str, schemes: tuple[str, ...], expected: str, *, needs_host: bool = True) -> str:
    """`text`, an address of one of `schemes` whose parts can be told from each other.

    Raises:
        Unfit: another scheme, no host, a port outside 1–65535, or characters that belong percent-encoded.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in schemes or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise Unfit(_NOT_SHOWN, expected)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if _must_be_encoded(authority, rest[len(authority) :]):
        raise Unfit(_NOT_SHOWN, _ENCODED)
    try:
        host = urlsplit(text).hostname
    except ValueError:
        raise Unfit(_NOT_SHOWN, expected) from None
    if needs_host and not host:
        raise Unfit(_NOT_SHOWN, expected)
    if not _has_usable_port(text):
        raise Unfit(_NOT_SHOWN, f"a port from 1 to 65535, and {_ENCODED}")
    return text


def _must_be_encoded(authority: str, tail: str) -> bool:
    """Whether a password was taken apart: what follows the host holds '@' or '#', or user and password are loose."""
    user, _, host = authority.rpartition("@")
    return "@" in user or "@" in tail or "#" in tail or bool(_LOOSE.search(user) or re.search(r"\s", host))


def _has_usable_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
