"""What of the calendar happens by itself."""

from typing import Final

from campaigns.calendar import digest
from campaigns.duty import Duty

DUTIES: Final = (Duty("weekly digest", digest.run, digest.next_at, digest.condition),)
