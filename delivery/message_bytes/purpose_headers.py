"""The header lines that say what kind of mail this is: bulk, or automatic."""

from urllib.parse import urlsplit

from core.errors import RenderError

#: Of automatic mail that is not bulk: confirmations, reminders, receipts (S-2.22, RFC 3834).
AUTOMATIC_HEADERS = (("Auto-Submitted", "auto-generated"),)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def bulk_headers(unsubscribe_url: str, *, mailto: str | None = None) -> tuple[tuple[str, str], ...]:
    """The headers of bulk mail, with one-click unsubscribe (S-2.13, S-2.14, S-2.23).

    RFC 8058 wants HTTPS; an HTTP address gets no List-Unsubscribe-Post, except on this machine itself, where
    a workspace is tried out.

    Raises:
        RenderError: `unsubscribe_url` or `mailto` is not a URI that fits between angle brackets.
    """
    parts = urlsplit(unsubscribe_url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RenderError(f"not an unsubscribe address (got {unsubscribe_url!r}, expected https://…)")
    if mailto is not None and not mailto.startswith("mailto:"):
        raise RenderError(f"not a mail address for unsubscribing (got {mailto!r}, expected mailto:…)")
    uris = [uri for uri in (unsubscribe_url, mailto) if uri is not None]
    for uri in uris:
        if not uri.isascii() or any(character in uri for character in '<>, "\\'):
            raise RenderError(f"List-Unsubscribe: the URI holds a character that must be escaped (got {uri!r})")
    fields = [("List-Unsubscribe", ", ".join(f"<{uri}>" for uri in uris))]
    if parts.scheme == "https" or parts.hostname in _LOOPBACK:
        fields.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return (*fields, ("Precedence", "bulk"))
