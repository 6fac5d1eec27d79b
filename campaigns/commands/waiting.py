"""`send CAMPAIGN --wait`: how far it is, why it waits, and how it ended."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.commands import Desk, counted, progress, remark

if TYPE_CHECKING:
    from campaigns.status import Status
    from campaigns.waiting import Waiting

_LOOK_S: Final = 0.3
#: Off a terminal a line is printed this often, and whenever the reason to wait changes.
_LINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run stood when it was waited for no longer."""

    status: "Status"

    @property
    def went_well(self) -> bool:
        """Neither paused nor cancelled, and nothing is in doubt."""
        return self.status.state not in ("paused", "cancelled") and not self.status.states["unknown"]

    @property
    def sentence(self) -> str:
        """The final counts."""
        document = self.status.document()
        words = ("accepted", "deferred", "failed", "unknown", "planned")
        counts = [f"{document[word]:,} {word}" for word in words if document[word] or word == "accepted"]
        skipped = sum(self.status.skipped.values())
        state = "going on" if self.status.state == "running" else self.status.state
        held = sum(self.status.held.values())
        counts += [f"{held:,} held"] if held else []
        return f"{self.status.campaign} is {state}: {', '.join(counts)}, {skipped:,} skipped"


def wait_for(desk: Desk, run_id: int) -> Ended:
    """How the run ended, also told: it is over, or nothing is left but what was put off, is held or waits for hours."""
    now = _status(desk, run_id)
    ahead = now.open
    with progress("sending", ahead) as advance:
        told = _Told(desk, run_id, ahead, advance)
        while not (_is_over(now) or _rests(desk, run_id, now)):
            told.tell(now)
            time.sleep(_LOOK_S)
            now = _status(desk, run_id)
        told.tell(now)
    ended = Ended(now)
    remark(ended.sentence)
    for reason in _reasons(desk, run_id) if now.open else ():
        remark(f"waiting: {reason.sentence_in(desk.zone)}")
    return ended


def _is_over(now: "Status") -> bool:
    # The last answer comes a moment before its batch is closed, which ends the run.
    return now.state in ("finished", "cancelled", "paused") or 0 < now.open == now.states["deferred"]


def _rests(desk: Desk, run_id: int, now: "Status") -> bool:
    """Everything that is left is held, or waits for hours."""
    from campaigns.waiting import resting

    if not now.open or now.states["claimed"] or now.states["handed_over"]:
        return False
    with desk.database.begin() as connection:
        return resting(connection, run_id, desk.clock.now()) >= now.open


@dataclass(slots=True)
class _Told:
    """What the person at the keyboard knows: a bar on a terminal, lines elsewhere, and each new reason to wait."""

    desk: Desk
    run_id: int
    ahead: int
    advance: Callable[[int], None]
    done: int = 0
    reasons: set[str] = field(default_factory=set)
    line_at: float = field(default_factory=time.monotonic)

    def tell(self, now: "Status") -> None:
        """The bar stands where the run is."""
        done = self.ahead - now.open
        is_still = done == self.done
        self.advance(done - self.done)
        self.done = done
        if is_still and now.open:
            self._tell_reasons()
        if not sys.stderr.isatty() and time.monotonic() - self.line_at >= _LINE_S:
            self.line_at = time.monotonic()
            remark(f"{done:,} of {counted(self.ahead, 'message')} answered")

    def _tell_reasons(self) -> None:
        reasons = _reasons(self.desk, self.run_id)
        for reason in reasons:
            if reason.because not in self.reasons:
                remark(f"waiting: {reason.sentence_in(self.desk.zone)}")
        self.reasons |= {reason.because for reason in reasons}


def _status(desk: Desk, run_id: int) -> "Status":
    from campaigns.status import status_of

    with desk.database.begin() as connection:
        return status_of(connection, run_id)


def _reasons(desk: Desk, run_id: int) -> "list[Waiting]":
    from campaigns.waiting import run_waits

    with desk.database.begin() as connection:
        return run_waits(connection, desk.workspace.settings, run_id, desk.clock.now())
