"""The header lines that say what kind of mail this is: bulk, or automatic."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from core.errors import RenderError

#: Of automatic mail that is not bulk: confirmations, reminders, receipts (S-2.22, RFC 3834).
AUTOMATIC_HEADERS = (("Auto-Submitted", "auto-generated"),)
#: Of those that answer a mail.
REPLY_HEADERS = (("Auto-Submitted", "auto-replied"),)
_BULK = (("Precedence", "bulk"),)
_BY_POST = (("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"), *_BULK)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_UNFIT = re.compile(r'[<>, "\\]')


@lru_cache(maxsize=64)
def _may_be_posted(origin: str) -> bool | None:
    """Whether one-click unsubscription may lead to this scheme and host; None: it is no web address at all."""
    parts = urlsplit(origin)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return None
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


def bulk_headers(unsubscribe_url: str, *, mailto: str | None = None) -> tuple[tuple[str, str], ...]:
    """The headers of bulk mail, with one-click unsubscribe (S-2.13, S-2.14, S-2.23).

    RFC 8058 wants HTTPS; an HTTP address gets no List-Unsubscribe-Post, except on this machine itself, where
    a workspace is tried out.

    Raises:
        RenderError: `unsubscribe_url` or `mailto` is not a URI that fits between angle brackets.
    """
    may_be_posted = _may_be_posted("/".join(unsubscribe_url.split("/", 3)[:3]))
    if may_be_posted is None:
        raise RenderError(f"not an unsubscribe address (got {unsubscribe_url!r}, expected https://…)")
    if mailto is not None and not mailto.startswith("mailto:"):
        raise RenderError(f"not a mail address for unsubscribing (got {mailto!r}, expected mailto:…)")
    uris = [unsubscribe_url] if mailto is None else [unsubscribe_url, mailto]
    for uri in uris:
        if not uri.isascii() or _UNFIT.search(uri):
            raise RenderError(f"List-Unsubscribe: the URI holds a character that must be escaped (got {uri!r})")
    field = "List-Unsubscribe", f"<{'>, <'.join(uris)}>"
    return (field, *_BY_POST) if may_be_posted else (field, *_BULK)
