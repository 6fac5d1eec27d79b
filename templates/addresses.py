"""What may stand in a link (S-2.26, S-6.2): http, https, mailto and tel; nothing relative, nothing disguised."""

import re
from typing import Final
from urllib.parse import quote, urlsplit

from core.errors import RenderError

PLAIN_SCHEMES: Final = ("mailto", "tel")
_PROPER = re.compile(r"(?i)https?://[^\s/?#@\\<>\"\x00-\x1f\x7f]+(?:[/?#][^\s\\<>\"\x00-\x1f\x7f]*)?")
_NEEDS_QUOTING = re.compile(r"[\s<>\"{}|\\^`\x00-\x20\x7f]")


def scheme_of(url: str) -> str:
    """The scheme of `url` in lower case; empty when there is none."""
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", url.strip())
    return match.group(1).lower() if match else ""


def is_web(url: str) -> bool:
    """Whether `url` is a well-formed http or https address without user name, blanks or backslashes (S-6.2)."""
    if not _PROPER.fullmatch(url):
        return False
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def rendered_target(url: str) -> str:
    """A link with a customer's values in it, fit to be followed.

    Raises:
        RenderError: the values made it something else than http, https, mailto or tel.
    """
    target = _NEEDS_QUOTING.sub(lambda match: quote(match.group()), url.strip())
    if scheme_of(target) in PLAIN_SCHEMES or is_web(target):
        return target
    raise RenderError(f"a link leads to {url[:80]!r}, expected an http, https, mailto or tel address")


def bad_target(target: str) -> tuple[str, str]:
    """What is wrong with a link that is not allowed, and what to write instead."""
    scheme = scheme_of(target)
    if scheme and scheme not in ("http", "https"):
        return f"a link uses {scheme}:", "links may be http, https, mailto or tel addresses"
    if scheme:
        return (
            f"the link {target[:80]!r} is not a proper web address",
            "write https://host/path without blanks",
        )
    return f"the link {target[:80]!r} has no scheme", f"write https://{target[:60].lstrip('/')}"
