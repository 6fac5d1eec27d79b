"""Tokens that end: for links that change something for one person, or show what only they may see.

Layout before base64url: key id (1 byte), subject (6, or 16 for an address), end in seconds since 1970 (5), MAC (16).
The MAC is keyed BLAKE2s over everything before it, with a key of its own for each purpose and installation: a token of
one purpose is nothing elsewhere, and its end cannot be moved (S-9.8). What the link's address names beside the token,
such as a survey, goes into the MAC as well. A link that may be followed once is remembered by `TimedToken.digest`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from tracking.keyring import MAC_SIZE, Keyring, decoded, encoded, mac_of

_ID_SIZE: Final = 6
_KEY_SIZE: Final = 16
_END_SIZE: Final = 5


class TimedPurpose(StrEnum):
    """What a token may be used for, and what its subject is."""

    CONFIRM = "confirm"  #: a row of sign_up: yes, it was me
    PREFERENCES = "preferences"  #: an address key, as a number: whoever has that mailbox asked for their choices
    MAIL_PREFERENCES = "mail-preferences"  #: a message, whose footer leads to its recipient's choices
    EXPORT = "export"  #: a row of rights_request: hand out what is stored
    ERASE = "erase"  #: a row of rights_request: erase what is stored
    REGISTRATION = "registration"  #: a row of registration: its attendee looks at it, or cancels
    SURVEY = "survey"  #: a message that asks the survey which the address names
    CHECK_IN = "check-in"  #: 0: staff lets in who comes to the event that the address names
    CALENDAR = "calendar"  #: 0: staff subscribes to what goes out when


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
        self._keys = Keyring("timed-token", TimedPurpose, secret, retired)

    def sign(self, purpose: TimedPurpose, subject_id: int, ends_at: datetime, *, about: str = "") -> str:
        """The token as it stands in a link: 38 characters, or 51 for an address. The same values give the same token.

        `about` names what the link's address names beside it: the token is good for that alone. Fractions of a second
        of `ends_at` are dropped.
        """
        end = int(ends_at.timestamp())
        body = self._keys.key_id + subject_id.to_bytes(_id_size(purpose), "big") + end.to_bytes(_END_SIZE, "big")
        return encoded(body + mac_of(self._keys.own[purpose], body + about.encode()))

    def verify(self, purpose: TimedPurpose, token: str, now: datetime, *, about: str = "") -> TimedToken | None:
        """What the token says; None unless it was signed for this purpose, about the same, and has not ended."""
        found = self._genuine(purpose, token, about)
        return found if found is not None and now < found.ends_at else None

    def has_ended(self, purpose: TimedPurpose, token: str, now: datetime, *, about: str = "") -> bool:
        """Whether the token was good once, and is no more: its holder is told so."""
        found = self._genuine(purpose, token, about)
        return found is not None and found.ends_at <= now

    def _genuine(self, purpose: TimedPurpose, token: str, about: str) -> TimedToken | None:
        size = 1 + _id_size(purpose) + _END_SIZE
        content = decoded(token) if len(token) == -(-(size + MAC_SIZE) * 8 // 6) else None
        if content is None:
            return None
        body, mac = content[:size], content[size:]
        if not self._keys.is_genuine(purpose, body + about.encode("utf-8", "surrogatepass"), mac):
            return None
        subject = int.from_bytes(body[1:-_END_SIZE], "big")
        end = datetime.fromtimestamp(int.from_bytes(body[-_END_SIZE:], "big"), UTC)
        return TimedToken(purpose, subject, end, hashlib.sha256(content).digest())
