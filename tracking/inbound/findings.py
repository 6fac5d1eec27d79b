"""What one mail reports about one recipient."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tracking.feedback import FeedbackKind

#: Kinds that mails are said to be of; a delivery that went well is none of them.
_SHOWN: Final = frozenset(FeedbackKind) - {FeedbackKind.DELIVERED, FeedbackKind.OPENED, FeedbackKind.CLICKED}


class Action(StrEnum):
    """What became of a message, in the words of a delivery status notification (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Finding:
    """`recipient` is the address as the mail gives it; None where it gives none.

    `status` is an RFC 3463 code: the one that was said, else the one that the words mean. `is_certain`: of a hard one,
    that codes or words say that the address does not exist; otherwise only repetition means anything (S-1.41, S-4.3).
    """

    kind: FeedbackKind
    recipient: str | None = None
    status: str | None = None
    diagnostic: str = ""
    action: Action | None = None
    is_certain: bool = True

    @property
    def shown_class(self) -> FeedbackKind:
        """The kind as `clarion inbound classify` shows it: unknown for reports of no failure (S-4.2)."""
        return self.kind if self.kind in _SHOWN else FeedbackKind.UNKNOWN

    @property
    def is_permanent(self) -> bool | None:
        """Whether delivery was given up; False: it is still tried. None where the mail reports no failure."""
        return {Action.FAILED: True, Action.DELAYED: False}.get(self.action) if self.action is not None else None

    @property
    def counts_as(self) -> FeedbackKind:
        """The kind whose consequences it has: a failure without a cause counts as a soft one (S-4.3)."""
        return FeedbackKind.SOFT if self.kind is FeedbackKind.HARD and not self.is_certain else self.shown_class
