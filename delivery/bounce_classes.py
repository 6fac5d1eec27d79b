"""What a refusal says, and about whom: the person, the mailbox, the sender or the message."""

import enum
import re
from typing import Final

from delivery import bounce_texts
from delivery.smtp.messages import Outcome, OutcomeState
from delivery.smtp.steps import Step


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
#: Basic codes that say it by themselves: RFC 5321, RFC 7504 (556), and 571 as servers use it.
_BASIC: Final = {
    500: _C.MESSAGE_FAULT, 502: _C.MESSAGE_FAULT, 503: _C.MESSAGE_FAULT, 504: _C.MESSAGE_FAULT,
    555: _C.MESSAGE_FAULT, 556: _C.HARD, 571: _C.BLOCK,
}  # fmt: skip
_TEXTS: Final = (
    (bounce_texts.FULL, _C.MAILBOX_FULL),
    (bounce_texts.DISABLED, _C.DISABLED),
    (bounce_texts.BLOCK, _C.BLOCK),
    (bounce_texts.SENDER, _C.MESSAGE_FAULT),
    (bounce_texts.UNKNOWN_USER, _C.HARD),
    (bounce_texts.MESSAGE, _C.MESSAGE_FAULT),
)
_OF_THE_ADDRESS: Final = frozenset({_C.HARD, _C.MAILBOX_FULL, _C.DISABLED, _C.UNSUPPORTED})
#: qmail and its kin write the enhanced code behind the words: (#5.1.1).
_LATE_CODE: Final = re.compile(r"\(?#\s?([45]\.\d{1,3}\.\d{1,3})\b")


def bounce_class(outcome: Outcome) -> BounceClass | None:
    """What the refusal says, by its enhanced code, else its basic code, else its words (S-1.39 to S-1.42).

    An enhanced code whose detail is 0 ("other") decides only where the words say nothing better. What is said to
    MAIL is never about the recipient, whom the server does not know yet (S-1.4). None: the message was not refused,
    or nobody spoke (a connection lost before the end of the message is no bounce).
    """
    if outcome.state not in (OutcomeState.DEFERRED, OutcomeState.FAILED):
        return None
    enhanced = outcome.enhanced or _late_code(outcome.reply)
    if outcome.code is None and enhanced is None:
        return None
    if outcome.code is not None and outcome.code < 400:  # a yes where it made no sense: no word about anybody
        return None
    found = _by_enhanced(enhanced) if enhanced else None
    if found is None:
        found = _by_code_and_words(outcome, enhanced)
    if found is BounceClass.HARD and outcome.state is OutcomeState.DEFERRED:  # "later" is never about a dead address
        found = BounceClass.SOFT
    return _never_of_the_address(found, outcome) if outcome.refused_at is Step.MAIL else found


def _late_code(reply: str) -> str | None:
    found = _LATE_CODE.search(reply)
    return found[1] if found else None


def _by_enhanced(enhanced: str) -> BounceClass | None:
    """What the code says by itself; None where it says too little."""
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


def _by_code_and_words(outcome: Outcome, enhanced: str | None) -> BounceClass:
    code = outcome.code if outcome.code is not None else int(enhanced[0]) * 100 if enhanced else 0
    if enhanced is None and code in _BASIC:
        return _BASIC[code]
    said = next((found for pattern, found in _TEXTS if pattern.search(outcome.reply)), None)
    if code < 500:  # later: an unknown user or a malformed message may be another one next time
        return said if said in (_C.MAILBOX_FULL, _C.DISABLED, _C.BLOCK) else _C.SOFT
    if said is not None:
        return said
    return _speechless(code, enhanced, outcome.refused_at)


def _speechless(code: int, enhanced: str | None, step: Step | None) -> BounceClass:
    """A refusal for good whose words say nothing: of the message where the message was judged, else soft."""
    if enhanced is not None:
        return _C.MESSAGE_FAULT if enhanced.split(".")[1] == "5" else _C.SOFT
    if step in (Step.MAIL, Step.DATA, Step.END_OF_DATA):
        return _C.MESSAGE_FAULT
    return _C.MAILBOX_FULL if code == 552 else _C.SOFT


def _never_of_the_address(found: BounceClass, outcome: Outcome) -> BounceClass:
    if found not in _OF_THE_ADDRESS:
        return found
    return _C.SOFT if outcome.state is OutcomeState.DEFERRED else _C.MESSAGE_FAULT
