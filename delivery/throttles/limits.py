"""What limits one transport or one recipient domain at this instant: a hold, a rate, a day's volume."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from delivery.throttles.meter import Meter

#: How long a message waits before it asks again, when nobody knows the end of a hold.
UNKNOWN_END: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Volume:
    """What a warm-up plan leaves of this day. `opens_at`: when more may go."""

    key: str
    left: int
    opens_at: datetime


@dataclass(slots=True)
class Limit:
    """Everything that limits one key; without any of it, nothing does."""

    key: str
    held_until: datetime | None = None  # in the future while it is held
    meter: Meter | None = None
    volume: Volume | None = None
    is_changed: bool = False

    @property
    def left_today(self) -> int | None:
        """Messages that may go today, whatever the rate; None: any number."""
        return self.volume.left if self.volume is not None else None

    def free(self, wanted: int, now: datetime, *, urgent: bool, booked: bool) -> int:
        """How many of `wanted` may go now."""
        if self.held_until is not None:
            return 0
        if self.meter is not None:
            wanted = min(wanted, self.meter.free(now, urgent=urgent, booked=booked))
        return wanted if self.volume is None else min(wanted, self.volume.left)

    def take(self, count: int, now: datetime) -> None:
        """`count` messages go now."""
        if count and self.meter is not None:
            self.meter, self.is_changed = self.meter.taken(count, now), True

    def book(self, count: int, begin: datetime, now: datetime) -> None:
        """`count` messages were given `begin` as their time."""
        if self.meter is not None:
            self.meter, self.is_changed = self.meter.booked(count, begin, now), True

    def give_back(self, count: int) -> None:
        """`count` messages that were taken did not go."""
        if self.meter is not None:
            self.meter, self.is_changed = self.meter.returned(count), True

    def first(self, now: datetime, *, urgent: bool) -> datetime:
        """The earliest instant for a message that must wait for the rate."""
        return now if self.meter is None else self.meter.first(now, urgent=urgent)


def hold_end(held_at: datetime | None, held_until: datetime | None, now: datetime) -> datetime | None:
    """When a hold should be asked about again; None when there is none at `now`."""
    if held_at is None:
        return None
    if held_until is None:
        return now + UNKNOWN_END
    return held_until if held_until > now else None
