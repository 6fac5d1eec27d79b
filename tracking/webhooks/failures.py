"""What kind of bounce a provider reports, by its code and words; its own verdict counts where they say too little."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from core.refusal_codes import BounceClass, class_of_code, class_of_words
from tracking.feedback import FeedbackKind

_CODE: Final = re.compile(r"(?<![\w.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_KINDS: Final[Mapping[BounceClass, FeedbackKind]] = {
    BounceClass.HARD: FeedbackKind.HARD, BounceClass.SOFT: FeedbackKind.SOFT, BounceClass.DISABLED: FeedbackKind.SOFT,
    BounceClass.MAILBOX_FULL: FeedbackKind.MAILBOX_FULL, BounceClass.BLOCK: FeedbackKind.BLOCK,
    BounceClass.MESSAGE_FAULT: FeedbackKind.MESSAGE_FAULT, BounceClass.UNSUPPORTED: FeedbackKind.MESSAGE_FAULT,
}  # fmt: skip


def status_in(texts: Iterable[object]) -> str | None:
    """The first enhanced code in the texts that says something, else the first one."""
    found = [code for text in texts if isinstance(text, str) for code in _CODE.findall(text)]
    return next((code for code in found if not code.endswith(".0.0")), found[0] if found else None)


def bounce_kind(texts: Iterable[object], verdict: FeedbackKind) -> FeedbackKind:
    """What the texts say of a bounce that the provider calls `verdict`.

    One that the provider takes for passing is never made hard, whatever its words are.
    """
    spoken = [text for text in texts if isinstance(text, str)]
    code = status_in(spoken)
    found = class_of_code(code) if code is not None else None
    if found is None:
        found = next((said for text in spoken if (said := class_of_words(text)) is not None), None)
    kind = _KINDS[found] if found is not None else verdict
    return verdict if kind is FeedbackKind.HARD and verdict is not FeedbackKind.HARD else kind
