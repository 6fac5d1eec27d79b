"""A message becomes a signed one: DKIM-Signature fields in front, the rest untouched."""

import binascii
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

from core.clock import Clock, SystemClock
from delivery.dkim.canonical import relaxed_body, split
from delivery.dkim.keys import SigningKey
from delivery.dkim.selection import selected

#: How long a signature is good (x=). Mail is signed anew at each attempt, and then rests in the queues of relays
#: for five days at most (RFC 5321 section 4.5.4.1). As long, the record of a retired key stays in DNS.
VALID_FOR: Final = timedelta(days=14)
_WIDTH: Final = 76
_FOLD: Final = b"\r\n "


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the mail of one domain, once with each key. Threads may share it."""

    keys: tuple[SigningKey, ...]  # the first one's signature comes first
    clock: Clock = SystemClock()  # noqa: RUF009  frozen, has no state

    @property
    def shown(self) -> str:
        """Its selectors, as messages show them."""
        return " and ".join(f"{key.selector} ({key.algorithm})" for key in self.keys)

    def sign(self, content: bytes) -> bytes:
        """The message with one DKIM-Signature field per key in front (relaxed/relaxed, RFC 6376 and 8463).

        `content` is a whole message in CRLF lines, not dot-stuffed, in its final transfer encoding. Repeat: safe.
        """
        head, body = split(content)
        body_hash = _base64(hashlib.sha256(relaxed_body(body)).digest())
        names, fields = selected(head)
        signed_at = int(self.clock.now().timestamp())
        signatures = [
            _signature_field(_unsigned_field(key, names, body_hash, signed_at), key, fields) for key in self.keys
        ]
        return b"".join([*signatures, content])


def _signature_field(unsigned: bytes, key: SigningKey, fields: bytes) -> bytes:
    """The field with the value of its b=, which covers `fields` and the field without that value."""
    canonical = b"dkim-signature:" + unsigned.partition(b": ")[2].replace(_FOLD, b" ")
    value = _base64(key.signature(fields + canonical))
    lines = [value[: _WIDTH - 3], *(value[at : at + _WIDTH] for at in range(_WIDTH - 3, len(value), _WIDTH))]
    return unsigned + _FOLD.join(lines) + b"\r\n"


def _unsigned_field(key: SigningKey, names: tuple[bytes, ...], body_hash: bytes, signed_at: int) -> bytes:
    times = b"t=%d; x=%d;" % (signed_at, signed_at + VALID_FOR // timedelta(seconds=1))
    beginning = _beginning(key.algorithm, key.domain, key.selector)
    return b"".join((beginning, times, _FOLD, _names_tag(names), _FOLD, b"bh=", body_hash, b";", _FOLD, b"b="))


@lru_cache(maxsize=64)
def _beginning(algorithm: str, domain: str, selector: str) -> bytes:
    """The tags that are the same in every signature of a key; no l= (S-3.4)."""
    return (
        f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d={domain};\r\n i=@{domain};\r\n s={selector}; "
    ).encode()


@lru_cache(maxsize=64)
def _names_tag(names: tuple[bytes, ...]) -> bytes:
    """The h= tag, folded after colons."""
    lines, line = [], b"h="
    for name in names:
        if len(line) + len(name) + 1 > _WIDTH:
            lines.append(line)
            line = b""
        line += name + b":"
    return _FOLD.join([*lines, line])[:-1] + b";"


def _base64(octets: bytes) -> bytes:
    return binascii.b2a_base64(octets, newline=False)
