"""What a refusal says, and about whom, by its enhanced code and its words: for replies and for bounce mails alike."""

import enum
import re
from typing import Final

from core import refusal_words


class BounceClass(enum.StrEnum):
    """Whom a refusal counts against. Only `hard` forbids further mail by itself."""

    #: The address does not exist.
    HARD = "hard"
    #: It did not work this time; only its repetition means anything.
    SOFT = "soft"
    #: There is no room in the mailbox: soft, with a counter of its own (S-1.41).
    MAILBOX_FULL = "mailbox_full"
    #: The mailbox exists and takes nothing at present: hard after repetition only (S-1.41).
    DISABLED = "disabled"
    #: The sender, its machine or the campaign is not wanted; nobody is suppressed for it (S-1.42).
    BLOCK = "block"
    #: The message itself is at fault; nobody is suppressed for it (S-1.42).
    MESSAGE_FAULT = "message_fault"
    #: The address needs what the server cannot do, SMTPUTF8 (S-1.18).
    UNSUPPORTED = "unsupported"


_C = BounceClass
#: Enhanced codes by subject and detail, of either first digit (RFC 3463, RFC 7505, RFC 6531).
_EITHER: Final = {
    "1.7": _C.MESSAGE_FAULT, "1.8": _C.MESSAGE_FAULT,  # the sender's address
    "2.2": _C.MAILBOX_FULL, "2.3": _C.MESSAGE_FAULT, "3.4": _C.MESSAGE_FAULT, "6.7": _C.UNSUPPORTED,
}  # fmt: skip
_PERMANENT: Final = {
    "1.1": _C.HARD, "1.2": _C.HARD, "1.3": _C.HARD, "1.6": _C.HARD, "1.10": _C.HARD,
    "2.1": _C.DISABLED, "3.0": _C.SOFT, "3.2": _C.SOFT, "5.3": _C.SOFT,
}  # fmt: skip
#: Whole subjects: policy, content, protocol.
_SUBJECT: Final = {"7": _C.BLOCK, "6": _C.MESSAGE_FAULT}
_TEXTS: Final[tuple[tuple[re.Pattern[str], BounceClass], ...]] = (
    (refusal_words.FULL, _C.MAILBOX_FULL),
    (refusal_words.DISABLED, _C.DISABLED),
    (refusal_words.BLOCK, _C.BLOCK),
    (refusal_words.SENDER, _C.MESSAGE_FAULT),
    (refusal_words.UNKNOWN_USER, _C.HARD),
    (refusal_words.MESSAGE, _C.MESSAGE_FAULT),
)


def class_of_code(enhanced: str) -> BounceClass | None:
    """What an enhanced code such as `5.1.1` says by itself; None where it says too little."""
    kind, subject, detail = enhanced.split(".")
    pair = f"{int(subject)}.{int(detail)}"
    if pair in _EITHER:
        return _EITHER[pair]
    if subject in _SUBJECT:
        return _SUBJECT[subject]
    if detail == "0" or (kind, pair) == ("4", "2.1"):  # Gmail says 4.2.1 to mail that comes too fast
        return None
    if kind == "4":
        return BounceClass.SOFT
    return _PERMANENT.get(pair) or (BounceClass.MESSAGE_FAULT if subject == "5" else BounceClass.SOFT)


def class_of_words(words: str) -> BounceClass | None:
    """What the words of a refusal say, whatever its code is; None where none of them is known."""
    return next((found for pattern, found in _TEXTS if pattern.search(words)), None)
