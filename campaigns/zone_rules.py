"""Where a zone's rules changed, what was planned by the former ones happens at the wall time that was meant (S-8.1).

A process reads the zone database once. So each scheduler looks once, before anything else that it does when it leads.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from campaigns import wall_times
from campaigns.duty import Circumstances, Duty
from campaigns.events import wall_times as event_times
from campaigns.sequences import wall_times as wait_times

_Follow = Callable[[Connection, Circumstances, datetime], int]


def duties() -> tuple[Duty, ...]:
    """The duties of a process that has just read the zone database: each is done once."""
    parts = {"campaigns": wall_times.follow, "sequences": wait_times.follow, "events": event_times.follow}
    return tuple(Duty(f"rules of zones: {name}", _once(follow), _never) for name, follow in parts.items())


def _once(follow: _Follow) -> _Follow:
    """Done until a look finds nothing to move: what was not committed is found again."""
    is_done = False

    def run(connection: Connection, around: Circumstances, now: datetime) -> int:
        nonlocal is_done
        moved = 0 if is_done else follow(connection, around, now)
        is_done = not moved
        return moved

    return run


def _never(*_: object) -> None:
    """No time at which there will be something to do by itself."""
