"""What of inquiries and tasks happens by itself."""

from typing import Final

from campaigns.duty import Duty
from campaigns.inquiries import digest, escalating

_IS_OPEN: Final = "EXISTS (SELECT FROM inquiry WHERE state = 'open')"
_ESCALATES: Final = "EXISTS (SELECT FROM inquiry WHERE state = 'open' AND escalates_at <= :now)"
DUTIES: Final[tuple[Duty, ...]] = (
    Duty("handing over inquiries", escalating.hand_over, escalating.orphaned_at, lambda *_: _IS_OPEN),
    Duty("escalating inquiries", escalating.escalate, escalating.escalates_at, lambda *_: _ESCALATES),
    Duty("digest of tasks", digest.run, digest.next_at, digest.condition),
)
