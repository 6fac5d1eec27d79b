"""When steps are due: the ends of waits, reckoned once for each zone and instant, never person by person.

A passage has two times. `nominal` is the plan's: waits count from it, so that who is looked at late does not come late
for ever. `due_at` is when it is looked at next; of a wait for something to come true that may be earlier (`asking`,
`waking`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from campaigns.sequences.steps import Step, WaitStep
from core.local_time import later, next_local, zone_or

_MOMENT: Final = timedelta(microseconds=1)
#: Whoever is brought so late to a wait, as after a pause, waits from then, or for the next such time of day: what was
#: missed does not come all at once (S-8.6).
_TOO_LATE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rest:
    """How long somebody stays at a step they came to."""

    nominal: datetime
    due_at: datetime


class Clock:
    """The times at which people who come to steps go on, in one sequence; keeps what it reckoned."""

    def __init__(self, zone: str, now: datetime) -> None:
        """`zone`: of whom no zone is known."""
        self._zone, self._now = zone, now
        self._known: dict[tuple[int, str, datetime], Rest] = {}

    def rest(self, step: Step, zone: str | None, nominal: datetime) -> Rest:
        """How long somebody who lives in `zone` stays at the step, whose plan brought them there at `nominal`."""
        if step.wait is None:
            return Rest(nominal, self._now)
        place = self._place(step.wait, zone)
        key = (id(step), place, nominal)
        if key not in self._known:
            self._known[key] = self._rest(step.wait, place, nominal)
        return self._known[key]

    def arrival(self, step: Step, zone: str | None, nominal: datetime) -> Rest:
        """How long somebody stays who comes to the step now, and by the plan at `nominal`."""
        is_late = nominal < self._now - _TOO_LATE and step.wait is not None and step.wait.until is None
        return self.rest(step, zone, self._now if is_late else nominal)

    def _place(self, wait: WaitStep, zone: str | None) -> str:
        return zone_or(zone, self._zone) if wait.zone == "recipient" else wait.zone

    def _rest(self, wait: WaitStep, place: str, nominal: datetime) -> Rest:
        if wait.rule is not None:  # looked at once at once: it may be true already
            assert wait.timeout is not None  # noqa: S101  the definition asks for it
            return Rest(later(nominal, wait.timeout, place), self._now)
        end = end_of(wait, place, nominal)
        if wait.until is not None and end < self._now - _TOO_LATE:
            end = end_of(wait, place, self._now)
        return Rest(end, end)


def end_of(wait: WaitStep, zone: str, nominal: datetime) -> datetime:
    """When a wait for a length of time, or until a time of day, ends that began at `nominal` (UTC).

    Until nine o'clock means the next time it is nine: whoever comes at nine waits for tomorrow.
    """
    if wait.span is not None:
        return later(nominal, wait.span, zone)
    assert wait.until is not None  # noqa: S101  asked of these two kinds alone
    return next_local(nominal + _MOMENT, zone, wait.until, wait.on)
