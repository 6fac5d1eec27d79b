"""What kind of failure a report tells of, by its codes and else by its words (S-1.39 to S-1.42)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from core.refusal_codes import BounceClass, class_of_code, class_of_words
from tracking.feedback import FeedbackKind
from tracking.inbound.findings import Action, Finding
from tracking.inbound.report_words import WORDS

#: An enhanced code that stands by itself: not a part of an IP address or of a version.
_CODE: Final = re.compile(r"(?<![\w.])([245])\.([0-7])\.(\d{1,3})(?![\d.]*\d)")
#: The basic code of a reply, where a report quotes one.
_BASIC: Final = re.compile(r"(?:^|smtp;|error(?: code)?|[:\s>])\s*([45]\d\d)(?=[\s-])", re.IGNORECASE)

#: Characters of a diagnostic that are kept.
_LONGEST: Final = 1000
#: Texts whose meaning is remembered: the words of a report stand beside every one of its recipients.
_REMEMBERED: Final = 32

_K = FeedbackKind
_DISABLED: Final = "5.2.1"
_KINDS: Final = {
    BounceClass.HARD: (_K.HARD, "5.1.1"),
    BounceClass.SOFT: (_K.SOFT, "5.0.0"),
    BounceClass.MAILBOX_FULL: (_K.MAILBOX_FULL, "5.2.2"),
    BounceClass.DISABLED: (_K.HARD, _DISABLED),
    BounceClass.BLOCK: (_K.BLOCK, "5.7.1"),
    BounceClass.MESSAGE_FAULT: (_K.MESSAGE_FAULT, "5.6.0"),
    BounceClass.UNSUPPORTED: (_K.MESSAGE_FAULT, "5.6.7"),
}


def failure(
    recipient: str | None, status: str, diagnostic: str, words: Iterable[str], action: Action = Action.FAILED
) -> Finding:
    """What a report of failure or delay says about one recipient.

    `status` and `diagnostic` are those of a delivery status notification, empty where there is none; `words` are
    texts for people, the ones nearest to the recipient first. Of codes and words the more precise one decides, and
    among equals the one said first. A failure for which no cause is given is hard, with status 5.0.0.
    """
    texts = [status[:_LONGEST], diagnostic[:_LONGEST], *words]
    said = next((" ".join(text.split()) for text in (diagnostic, *texts[2:], status) if text.strip()), "")[:_LONGEST]
    if action is Action.DELAYED:
        return Finding(FeedbackKind.DELAYED, recipient, _first_code(texts) or "4.0.0", said, action)
    kind, code, is_certain = _judged(texts)
    return Finding(kind, recipient, code, said, action, is_certain)


def _judged(texts: list[str]) -> tuple[FeedbackKind, str, bool]:
    spoken = _first_code(texts)
    for text in texts:
        for code in _codes(text):
            if (found := class_of_code(code)) is not None:
                return _KINDS[found][0], code, found is not BounceClass.DISABLED
    for text in texts:
        if (judged := _by_words(text)) is not None:
            kind, meant = judged
            passes = spoken[0] == "4" if spoken else _basic(texts) == "4"
            status = spoken if spoken and not spoken.endswith(".0.0") else f"4{meant[1:]}" if passes else meant
            # What was said with a temporary code alone is never about a dead address.
            return FeedbackKind.SOFT if kind is FeedbackKind.HARD and passes else kind, status, meant != _DISABLED
    if (spoken and spoken[0] == "4") or _basic(texts) == "4":
        return FeedbackKind.SOFT, spoken or "4.0.0", True
    return FeedbackKind.HARD, spoken or "5.0.0", False


@lru_cache(_REMEMBERED)
def _by_words(text: str) -> tuple[FeedbackKind, str] | None:
    if not text:
        return None
    known = class_of_words(text)
    if known is not None:
        return _KINDS[known]
    return next(((kind, code) for pattern, kind, code in WORDS if pattern.search(text)), None)


@lru_cache(_REMEMBERED)
def _codes(text: str) -> tuple[str, ...]:
    found = _CODE.findall(text)
    return tuple(f"{kind}.{int(subject)}.{int(detail)}" for kind, subject, detail in found if kind != "2")


def _first_code(texts: Iterable[str]) -> str | None:
    """The first code that says something, else the first one at all."""
    found = [code for text in texts for code in _codes(text)]
    return next((code for code in found if not code.endswith(".0.0")), found[0] if found else None)


def _basic(texts: Iterable[str]) -> str | None:
    """The first digit of the first basic code that is quoted."""
    return next((digit for text in texts if (digit := _basic_of(text)) is not None), None)


@lru_cache(_REMEMBERED)
def _basic_of(text: str) -> str | None:
    found = _BASIC.search(text)
    return found[1][0] if found else None
