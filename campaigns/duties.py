"""Every duty, in the order in which they are looked after at one instant."""

from typing import Final

from campaigns import recurring
from campaigns.calendar import duties as calendar
from campaigns.duty import Duty
from campaigns.events import duties as events
from campaigns.inquiries import duties as inquiries
from campaigns.sequences import duties as sequences

DUTIES: Final[tuple[Duty, ...]] = (
    *recurring.DUTIES, *inquiries.DUTIES, *sequences.DUTIES, *events.DUTIES, *calendar.DUTIES,
)  # fmt: skip
