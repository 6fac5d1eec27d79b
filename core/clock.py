"""The time, from one place, so that tests and the simulator can set it.

Leases are the exception: they always use the database's own clock.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class SteppedClock:
    """A clock that moves only when told to."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def step(self, by: timedelta) -> None:
        self.instant += by


#: Linux has a clock of its own that goes on while the machine sleeps; elsewhere the monotonic one does.
_UP: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def up_s() -> float:
    """Seconds since the machine was started, those for which it or this process slept among them. Leases are measured
    by it."""
    return time.clock_gettime(_UP)
