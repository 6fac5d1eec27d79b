"""Which header fields a signature covers (S-3.2, S-3.3)."""

from collections.abc import Sequence
from typing import Final

from delivery.dkim.canonical import relaxed_fields

#: RFC 6376 section 5.4.1, one-click unsubscription (RFC 8058 section 4), and what receivers sort mail by.
#: Never Return-Path and Received, which change on the way.
SIGNED: Final = frozenset(
    {
        b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id",
        b"in-reply-to", b"references", b"mime-version", b"content-type", b"content-transfer-encoding",
        b"list-id", b"list-help", b"list-owner", b"list-archive", b"list-post", b"list-subscribe",
        b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id", b"auto-submitted",
    }
)  # fmt: skip
#: Named once more than they are present, so that adding one breaks the signature.
OVERSIGNED: Final = (b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"content-type")


def selected(head: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The names for h=, and the fields they stand for as they are hashed.

    Of several fields of one name the last comes first (RFC 6376 section 5.4.2).
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, field in relaxed_fields(head):
        if name in SIGNED:
            fields.setdefault(name, []).append(field)
    names = [name for name, found in fields.items() for _ in found]
    return (*names, *OVERSIGNED), b"".join(_upwards(list(fields.values())))


def _upwards(groups: Sequence[list[bytes]]) -> list[bytes]:
    return [field for found in groups for field in reversed(found)]
