"""What must be looked at once more before each hand-over of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from suppression.caps import Rules
from suppression.care import Care
from suppression.quiet_hours import Place, QuietHours


@dataclass(frozen=True, slots=True)
class Watch:
    """The rules by which messages of one claim may have to wait after all."""

    rules: Rules
    care: Care
    quiet_hours: QuietHours | None
    topic: str
    priority: int  # of their run
    wishes: bool  # whether people said how often they want to be written to
    defer: timedelta | None  # how long a capped message waits; None: only for those that go first
    valid_until: datetime | None
    places: Mapping[int, Place]  # by message; empty where no hours are quiet
    limited: frozenset[int]  # the messages that a cap or a wish may hold

    @property
    def holds_somebody(self) -> bool:
        """Whether any message of the claim could have to wait; where none could, windows are of one statement."""
        return bool(self.limited) or self.quiet_hours is not None or self.care.waits_for_cases(self.topic)
