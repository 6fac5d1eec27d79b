"""What of inquiries and tasks happens by itself."""

from typing import Final

from campaigns.duty import Duty
from campaigns.inquiries import digest, escalating

DUTIES: Final[tuple[Duty, ...]] = (
    Duty("handing over inquiries", escalating.hand_over, escalating.orphaned_at),
    Duty("escalating inquiries", escalating.escalate, escalating.escalates_at),
    Duty("digest of tasks", digest.run, digest.next_at),
)
