"""What a refusal says, and about whom: the person, the mailbox, the sender or the message."""

import re
from typing import Final

from core.refusal_codes import BounceClass, class_of_code, class_of_words
from delivery.smtp.messages import Outcome, OutcomeState
from delivery.smtp.steps import Step

__all__ = ["BounceClass", "bounce_class"]

_C = BounceClass
#: Basic codes that say it by themselves: RFC 5321, RFC 7504 (556), and 571 as servers use it.
_BASIC: Final = {
    500: _C.MESSAGE_FAULT, 502: _C.MESSAGE_FAULT, 503: _C.MESSAGE_FAULT, 504: _C.MESSAGE_FAULT,
    555: _C.MESSAGE_FAULT, 556: _C.HARD, 571: _C.BLOCK,
}  # fmt: skip
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
    found = class_of_code(enhanced) if enhanced else None
    if found is None:
        found = _by_code_and_words(outcome, enhanced)
    if found is BounceClass.HARD and outcome.state is OutcomeState.DEFERRED:  # "later" is never about a dead address
        found = BounceClass.SOFT
    return _never_of_the_address(found, outcome) if outcome.refused_at is Step.MAIL else found


def _late_code(reply: str) -> str | None:
    found = _LATE_CODE.search(reply)
    return found[1] if found else None


def _by_code_and_words(outcome: Outcome, enhanced: str | None) -> BounceClass:
    code = outcome.code if outcome.code is not None else int(enhanced[0]) * 100 if enhanced else 0
    if enhanced is None and code in _BASIC:
        return _BASIC[code]
    said = class_of_words(outcome.reply)
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
