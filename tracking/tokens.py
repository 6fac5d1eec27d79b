"""Tokens in links: compact, signed, each good for one purpose only.

Layout before base64url: key id (1 byte), message id (6), link (2) and target (UTF-8) where there is one, MAC
(16). The MAC is keyed BLAKE2s over everything before it, with a key of its own for each purpose and
installation, so a token cannot be made, changed or used for something else without the secret (S-2.17, S-6.1,
S-6.2, S-9.8). Nothing in it expires: an unsubscribe link in an old mail must work. Signing costs 3 µs,
verifying 6 µs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from tracking.keyring import MAC_SIZE, Keyring, decoded, encoded, mac_of

_ID_SIZE: Final = 6
_LINK_SIZE: Final = 2
_HEAD_SIZE: Final = 1 + _ID_SIZE
#: Of a token without link and target: what fills it up to whole groups of three bytes, and its characters.
_FILLER: Final = bytes(-(_HEAD_SIZE + MAC_SIZE) % 3)
_LENGTH: Final = -(-(_HEAD_SIZE + MAC_SIZE) * 8 // 6)
#: Longer texts are not looked at: they are no tokens of ours (`tracking.links.MAX_URL`).
_MAX_TOKEN: Final = 4096


class Purpose(StrEnum):
    """What a token may be used for."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Token:
    """What a genuine token says. `url` is set for a personalised target; otherwise `link` is its position in
    campaign_version.links."""

    message_id: int
    link: int = 0
    url: str | None = None


class Signer:
    """Signs with `secret`; verifies what was signed with it or with one of the `retired` secrets."""

    def __init__(self, secret: bytes, *, retired: Iterable[bytes] = ()) -> None:
        self._keys = Keyring("token", Purpose, secret, retired)

    def sign(self, purpose: Purpose, message_id: int, link: int = 0, url: str | None = None) -> str:
        """The token as it stands in a link: 31 to 34 characters plus four thirds of the target's length.

        The same values give the same token. `link` is 0–65535.
        """
        body = self._keys.key_id + message_id.to_bytes(_ID_SIZE, "big")
        if link or url is not None:
            body += link.to_bytes(_LINK_SIZE, "big") + (url or "").encode()
        return encoded(body + mac_of(self._keys.own[purpose], body))

    def sign_each(self, purposes: Iterable[Purpose], message_id: int) -> list[str]:
        """The tokens of one message for these purposes, as `sign` makes them one by one; encoded all at once."""
        body = self._keys.key_id + message_id.to_bytes(_ID_SIZE, "big")
        tokens = [body + mac_of(self._keys.own[purpose], body) + _FILLER for purpose in purposes]
        text = encoded(b"".join(tokens))
        return [text[at : at + _LENGTH] for at in range(0, len(text), _LENGTH + len(_FILLER))]

    def sign_links(self, message_id: int, count: int) -> list[str]:
        """The click tokens of links 0 to `count` - 1, as `sign` makes them one by one; encoded all at once."""
        head, keyed = self._keys.key_id + message_id.to_bytes(_ID_SIZE, "big"), self._keys.own[Purpose.CLICK].copy
        parts: list[bytes] = []
        for number, filler, _ in _links(count):  # `mac_of`, written out: a mailing has more links than anything else
            body, mac = head + number, keyed()
            mac.update(body)
            parts += (body, mac.digest(), filler)
        text = encoded(b"".join(parts))
        return [text[place] for _, _, place in _links(count)]

    def verify(self, purpose: Purpose, token: str) -> Token | None:
        """What the token says; None unless every byte is as it was signed for this purpose."""
        content = decoded(token) if len(token) <= _MAX_TOKEN else None
        if content is None or len(content) < _HEAD_SIZE + MAC_SIZE:
            return None
        body, mac = content[:-MAC_SIZE], content[-MAC_SIZE:]
        return _read(body) if self._keys.is_genuine(purpose, body, mac) else None


@lru_cache(maxsize=64)
def _links(count: int) -> tuple[tuple[bytes, bytes, slice], ...]:
    """How links 0 to `count` - 1 stand in a token, the first without its number; what fills each token up to whole
    groups of three bytes, so that it ends where a character does; and where it stands among all of them."""
    found, start = [], 0
    for link in range(count):
        number = link.to_bytes(_LINK_SIZE, "big") if link else b""
        size = _HEAD_SIZE + len(number) + MAC_SIZE
        found.append((number, bytes(-size % 3), slice(start, start + -(-size * 8 // 6))))
        start += -(-size // 3) * 4
    return tuple(found)


def _read(body: bytes) -> Token:
    message_id = int.from_bytes(body[1:_HEAD_SIZE], "big")
    link = int.from_bytes(body[_HEAD_SIZE : _HEAD_SIZE + _LINK_SIZE], "big")
    return Token(message_id, link, body[_HEAD_SIZE + _LINK_SIZE :].decode() or None)
