"""Where a zone's rules changed, what was planned by the former ones happens at the wall time that was meant (S-8.1).

A process reads the zone database once. So each scheduler looks once, before anything else that it does when it leads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from campaigns import wall_times
from campaigns.duty import HOLDS, HOLDS_NOT, Circumstances, Duty
from campaigns.events import wall_times as event_times
from campaigns.sequences import wall_times as wait_times

_Follow = Callable[[Connection, Circumstances, datetime], int]


def duties() -> tuple[Duty, ...]:
    """The duties of a process that has just read the zone database: each is done once."""
    parts = {"campaigns": wall_times.follow, "sequences": wait_times.follow, "events": event_times.follow}
    each = {name: _Once(follow) for name, follow in parts.items()}
    return tuple(Duty(f"rules of zones: {name}", once.run, _never, once.condition) for name, once in each.items())


@dataclass(slots=True)
class _Once:
    """Done until a look finds nothing to move: what was not committed is found again."""

    _follow: _Follow
    _is_done: bool = False

    def run(self, connection: Connection, around: Circumstances, now: datetime) -> int:
        moved = 0 if self._is_done else self._follow(connection, around, now)
        self._is_done = not moved
        return moved

    def condition(self, *_: object) -> str:
        return HOLDS_NOT if self._is_done else HOLDS


def _never(*_: object) -> None:
    """No time at which there will be something to do by itself."""
