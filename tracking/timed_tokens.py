"""Tokens that end: for links that change something for one person, or show what only they may see.

Layout before base64url: key id (1 byte), subject (6, or 16 for an address), end in seconds since 1970 (5), MAC (16).
The MAC is keyed BLAKE2s over everything before it, with a key of its own for each purpose and installation: a token of
one purpose is nothing elsewhere, and its end cannot be moved (S-9.8). A link that may be followed once is remembered by
`TimedToken.digest`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from core.ids import keyed_hash

_ID_SIZE: Final = 6
_KEY_SIZE: Final = 16
_END_SIZE: Final = 5
_MAC_SIZE: Final = 16
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


class TimedPurpose(StrEnum):
    """What a token may be used for, and what its subject is."""

    CONFIRM = "confirm"  #: a row of sign_up: yes, it was me
    PREFERENCES = "preferences"  #: an address key, as a number: whoever has that mailbox asked for their choices
    MAIL_PREFERENCES = "mail-preferences"  #: a message, whose footer leads to its recipient's choices
    EXPORT = "export"  #: a row of rights_request: hand out what is stored
    ERASE = "erase"  #: a row of rights_request: erase what is stored


def _id_size(purpose: TimedPurpose) -> int:
    return _KEY_SIZE if purpose is TimedPurpose.PREFERENCES else _ID_SIZE


@dataclass(frozen=True, slots=True)
class TimedToken:
    """What a genuine token says. It is good before `ends_at`."""

    purpose: TimedPurpose
    subject_id: int
    ends_at: datetime
    digest: bytes  # names the token without being it


class TimedTokens:
    """Signs with `secret`; verifies what was signed with it or with one of the `retired` secrets."""

    def __init__(self, secret: bytes, *, retired: Iterable[bytes] = ()) -> None:
        self._key_id, self._own = _key_id(secret), _hashers(secret)
        self._rings = {self._key_id: [self._own]}  # one byte: several may share it
        for one in retired:
            self._rings.setdefault(_key_id(one), []).append(_hashers(one))

    def sign(self, purpose: TimedPurpose, subject_id: int, ends_at: datetime) -> str:
        """The token as it stands in a link: 38 characters, or 51 for an address. The same values give the same token.

        Fractions of a second of `ends_at` are dropped.
        """
        end = int(ends_at.timestamp())
        body = self._key_id + subject_id.to_bytes(_id_size(purpose), "big") + end.to_bytes(_END_SIZE, "big")
        return _encoded(body + _mac(self._own[purpose], body))

    def verify(self, purpose: TimedPurpose, token: str, now: datetime) -> TimedToken | None:
        """What the token says; None unless it was signed for this purpose and has not ended."""
        found = self._genuine(purpose, token)
        return found if found is not None and now < found.ends_at else None

    def has_ended(self, purpose: TimedPurpose, token: str, now: datetime) -> bool:
        """Whether the token was good once, and is no more: its holder is told so."""
        found = self._genuine(purpose, token)
        return found is not None and found.ends_at <= now

    def _genuine(self, purpose: TimedPurpose, token: str) -> TimedToken | None:
        size = 1 + _id_size(purpose) + _END_SIZE
        content = _decoded(token, size + _MAC_SIZE)
        if content is None:
            return None
        body, given = content[:size], content[size:]
        if not any(hmac.compare_digest(_mac(ring[purpose], body), given) for ring in self._rings.get(body[:1], ())):
            return None
        subject = int.from_bytes(body[1:-_END_SIZE], "big")
        end = datetime.fromtimestamp(int.from_bytes(body[-_END_SIZE:], "big"), UTC)
        return TimedToken(purpose, subject, end, hashlib.sha256(content).digest())


def _mac(hasher: hashlib.blake2s, body: bytes) -> bytes:
    mac = hasher.copy()
    mac.update(body)
    return mac.digest()


def _key_id(secret: bytes) -> bytes:
    return keyed_hash(secret, "timed-token-id", b"", size=1)


def _hashers(secret: bytes) -> dict[TimedPurpose, hashlib.blake2s]:
    return {
        purpose: hashlib.blake2s(
            key=keyed_hash(secret, "timed-token-key", purpose.encode(), size=32), digest_size=_MAC_SIZE
        )
        for purpose in TimedPurpose
    }


def _encoded(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).translate(_TO_URL, b"=").decode("ascii")


def _decoded(token: str, size: int) -> bytes | None:
    """The token's `size` bytes; None unless it is written the one way `_encoded` writes them."""
    if len(token) != -(-size * 8 // 6) or not token.isascii():
        return None
    try:
        content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        return None
    return content if _encoded(content) == token else None
