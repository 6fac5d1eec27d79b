"""What all tokens share: a key for each purpose, today's and of retired secrets, and how bytes stand in a link.

The MACs are keyed BLAKE2s of 128 bits, compared in constant time; the first byte of a token names the secret it was
made with (S-9.8).
"""

import binascii
import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Generic, TypeVar

from core.ids import keyed_hash

MAC_SIZE: Final = 16
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")

PurposeT = TypeVar("PurposeT", bound=StrEnum)


class Keyring(Generic[PurposeT]):
    """The keys for one `kind` of token: signs with `secret`, knows what one of the `retired` secrets signed."""

    def __init__(self, kind: str, purposes: Iterable[PurposeT], secret: bytes, retired: Iterable[bytes]) -> None:
        self._kind, self._purposes = kind, tuple(purposes)
        self.key_id = self._key_id(secret)
        #: One keyed hasher a purpose: copying it is cheaper than keying a new one.
        self.own = self._hashers(secret)
        self._rings = {self.key_id: [self.own]}  # one byte: several may share it
        for one in retired:
            self._rings.setdefault(self._key_id(one), []).append(self._hashers(one))

    def is_genuine(self, purpose: PurposeT, body: bytes, mac: bytes) -> bool:
        """Whether the MAC is that of the body for this purpose; its first byte is a key id."""
        return any(hmac.compare_digest(mac_of(ring[purpose], body), mac) for ring in self._rings.get(body[:1], ()))

    def _key_id(self, secret: bytes) -> bytes:
        return keyed_hash(secret, f"{self._kind}-key-id", b"", size=1)

    def _hashers(self, secret: bytes) -> dict[PurposeT, hashlib.blake2s]:
        label = f"{self._kind}-key"
        return {
            purpose: hashlib.blake2s(key=keyed_hash(secret, label, purpose.encode(), size=32), digest_size=MAC_SIZE)
            for purpose in self._purposes
        }


def mac_of(hasher: hashlib.blake2s, body: bytes) -> bytes:
    """The MAC of the body under the hasher's key."""
    mac = hasher.copy()
    mac.update(body)
    return mac.digest()


def encoded(content: bytes) -> str:
    """The bytes as they stand in a link: base64url without padding."""
    return binascii.b2a_base64(content, newline=False).translate(_TO_URL, b"=").decode("ascii")


def decoded(token: str) -> bytes | None:
    """The token's bytes; None unless it is written the one way `encoded` writes them."""
    if not token.isascii():
        return None
    try:
        content = binascii.a2b_base64(token.encode("ascii").translate(_FROM_URL) + b"=" * (-len(token) % 4))
    except binascii.Error:
        return None
    return content if encoded(content) == token else None
