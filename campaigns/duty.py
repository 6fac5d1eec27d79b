"""A duty: something that goes on by itself while time passes, told to two readers, the scheduler and the simulator."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from core.settings import Settings
from core.workspace import Workspace
from suppression.policy import Policy

#: What failed is tried again after a second, then after twice as long each time, up to this.
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(minutes=1)
#: Conditions of duties that need no look into the database.
HOLDS: Final = "true"
HOLDS_NOT: Final = "false"


def not_ticked(schedule: str, at: datetime) -> str:
    """The condition that this time of a schedule, a whole minute, is not in `schedule_tick`."""
    tick = f"schedule = '{schedule}' AND nominal_at = to_timestamp({at.timestamp():.0f})"
    return f"NOT EXISTS (SELECT FROM schedule_tick WHERE {tick})"


@dataclass(slots=True)
class Setbacks:
    """What failed within a duty, by name: how often in a row, until when it is let alone, and what the fault was."""

    _known: dict[str, tuple[int, datetime, str]] = field(default_factory=dict)

    def pauses(self, name: str, now: datetime) -> bool:
        """Whether it failed so shortly before `now` that it is not tried again yet; a clock set back ends a pause."""
        return name in self._known and timedelta() < self._known[name][1] - now <= _LONGEST_PAUSE

    def note(self, name: str, fault: str, now: datetime) -> timedelta:
        """It failed at `now`; how long it is let alone."""
        times = self._known[name][0] + 1 if name in self._known else 1
        pause = min(_FIRST_PAUSE * (1 << min(times - 1, 10)), _LONGEST_PAUSE)
        self._known[name] = times, now + pause, fault
        return pause

    def heal(self, name: str) -> None:
        """It went well. Repeat: safe."""
        self._known.pop(name, None)

    @property
    def faults(self) -> dict[str, str]:
        """What has not gone well since, with its last fault."""
        return {name: fault for name, (_, _, fault) in self._known.items()}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What duties go by beside the database.

    `looks_apart`: sequences look no sooner at segments and rules than this after the last look, whatever their files
    say; a rehearsal's are further apart.
    """

    workspace: Workspace
    policy: Policy
    looks_apart: timedelta = timedelta()
    setbacks: Setbacks = field(default_factory=Setbacks, compare=False)

    @property
    def settings(self) -> Settings:
        """The settings of the workspace."""
        return self.workspace.settings

    @classmethod
    def of(cls, workspace: Workspace) -> "Circumstances":
        """As the workspace's files say now."""
        return cls(workspace, Policy.of(workspace.settings))


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to be looked after.

    `run` does a bounded part of what is due at an instant, within the transaction it is given, and returns how much it
    did; 0: nothing is due any more. It may run twice, in two processes at once, or be cut off anywhere: what was
    committed is not done again. It goes by the instant it is given, never by a clock. `next_at` is the instant at which
    there will be something to do, at the latest; None: not by itself.

    `condition` is SQL that holds at `:now` wherever `run` would do anything then. It may hold where `run` would not: it
    spares transactions in which nothing is done. Those of all duties are asked at once, each second.
    """

    name: str
    run: Callable[[Connection, Circumstances, datetime], int]
    next_at: Callable[[Connection, Circumstances, datetime], datetime | None]
    condition: Callable[[Circumstances, datetime], str] = lambda _circumstances, _now: HOLDS
