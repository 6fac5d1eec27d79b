"""Return paths: the envelope address a bounce comes back to tells which message it is about (VERP, S-1.37).

The local part is `b-` and, in base32, key id (1 byte), message id (6) and MAC (16): 39 octets of lower-case letters and
digits, so that a server which changes the case of addresses does no harm. The MAC is keyed BLAKE2s with a key of its
own for each installation: nobody can make a bounce for a message without having seen its return path. It never
expires: a server may give up after days, and an old message's bounce still says that its address is dead.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from core.addresses import parse_address
from core.errors import AddressError
from core.ids import keyed_hash

_PREFIX: Final = "b-"
_ID_SIZE: Final = 6
_MAC_SIZE: Final = 16
_BODY_SIZE: Final = 1 + _ID_SIZE
#: Characters of base32 without padding for 23 bytes.
_TOKEN_LENGTH: Final = -(-(_BODY_SIZE + _MAC_SIZE) * 8 // 5)
#: A path has at most 256 octets with its angle brackets (RFC 5321 section 4.5.3.1.3).
LONGEST_DOMAIN: Final = 256 - len("<@>") - len(_PREFIX) - _TOKEN_LENGTH


class ReturnPaths:
    """Return paths under one domain; reads those made with `secret` or one of the `retired` secrets."""

    def __init__(self, secret: bytes, domain: str, *, retired: Iterable[bytes] = ()) -> None:
        """`domain` is an A-label domain in lower case, of at most `LONGEST_DOMAIN` octets.

        Raises:
            AddressError: it is not.
        """
        if len(domain) > LONGEST_DOMAIN or parse_address(f"b@{domain}").email != f"b@{domain}" or not domain.isascii():
            raise AddressError(
                f"a return path cannot be under this domain (got {domain!r}, expected an A-label domain)"
            )
        self._domain = domain
        self._key_id, self._own = _key_id(secret), _hasher(secret)
        self._hashers = {self._key_id: [self._own]}
        for one in retired:  # a key id is one byte: several may share it
            self._hashers.setdefault(_key_id(one), []).append(_hasher(one))

    def path(self, message_id: int) -> str:
        """The address for `MAIL FROM`: the same for the same message, at most 256 octets with its brackets."""
        body = self._key_id + message_id.to_bytes(_ID_SIZE, "big")
        token = base64.b32encode(body + _mac(self._own, body)).decode("ascii").rstrip("=").lower()
        return f"{_PREFIX}{token}@{self._domain}"

    def message_id(self, address: str) -> int | None:
        """The message the address was made for, in any case, with or without brackets; None unless it is genuine."""
        local, _, domain = address.strip().removeprefix("<").removesuffix(">").rpartition("@")
        if domain.lower().removesuffix(".") != self._domain:
            return None
        content = _decoded(local.lower())
        if content is None:
            return None
        body, given = content[:_BODY_SIZE], content[_BODY_SIZE:]
        hashers = self._hashers.get(body[:1], [])
        is_genuine = any(hmac.compare_digest(_mac(hasher, body), given) for hasher in hashers)
        return int.from_bytes(body[1:], "big") if is_genuine else None


def _mac(hasher: hashlib.blake2s, body: bytes) -> bytes:
    mac = hasher.copy()
    mac.update(body)
    return mac.digest()


def _decoded(local: str) -> bytes | None:
    """The bytes of a local part; None unless it is written the one way `path` writes them."""
    token = local.removeprefix(_PREFIX)
    if not local.startswith(_PREFIX) or len(token) != _TOKEN_LENGTH or not token.isascii():
        return None
    try:
        content = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except binascii.Error:
        return None
    return content if base64.b32encode(content).decode("ascii").rstrip("=").lower() == token else None


def _key_id(secret: bytes) -> bytes:
    return keyed_hash(secret, "return-path-id", b"", size=1)


def _hasher(secret: bytes) -> hashlib.blake2s:
    return hashlib.blake2s(key=keyed_hash(secret, "return-path-key", b"", size=32), digest_size=_MAC_SIZE)
