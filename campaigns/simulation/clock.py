"""The virtual clock: it goes from one thing that happens to the next, and at each does what the scheduler and the
workers would do.

What happens by itself are the duties the scheduler works through, the batches it publishes, the stages of roll-outs,
notices, calls, and the answers of people. All of it is asked when it comes next; in between nothing can happen.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from campaigns import batches, rollout, transactional
from campaigns.duties import DUTIES
from campaigns.duty import Circumstances, Duty
from campaigns.sequences.duties import STEPS, WHO_ENTERS
from campaigns.simulation.compacting import Compacting
from campaigns.simulation.courier import NullCourier
from campaigns.simulation.responses import Responses
from campaigns.simulation.vain_looks import VainLooks

#: What makes looks that may be left out.
_LOOKING: Final = (WHO_ENTERS, STEPS)
#: A duty that says it is due, and does nothing, is asked again after this long.
_IDLE: Final = timedelta(minutes=15)
#: At one instant nothing is done more often than this: it goes round in circles.
_MOST_ROUNDS: Final = 1000
_NEXT_BATCH: Final = text("""
    SELECT min(batch.not_before) FROM batch JOIN run ON run.id = batch.run_id
    WHERE run.state = 'running' AND batch.state <> 'done' AND batch.not_before > :now AND batch.stage <= run.stage
""")
_NEXT_ORDER: Final = text("""
    SELECT least((SELECT min(not_before) FROM staff_notice WHERE state = 'planned'),
                 (SELECT min(not_before) FROM webhook_call WHERE state = 'planned'))
""")
#: Notices and calls of other systems are taken by whoever they are for.
_ORDERS: Final = (
    text("""
        UPDATE staff_notice SET state = 'accepted', sent_at = :now, attempt_count = attempt_count + 1
        WHERE state = 'planned' AND not_before <= :now
    """),
    text("""
        UPDATE webhook_call SET state = 'accepted', answered_at = :now, attempt_count = attempt_count + 1
        WHERE state = 'planned' AND not_before <= :now
    """),
)


@dataclass
class VirtualClock:
    """One rehearsal under way. `told` hears of each instant it comes to. `vain_looks` None: every look is made."""

    connection: Connection
    circumstances: Circumstances
    courier: NullCourier
    responses: Responses
    told: Callable[[datetime], None] = lambda _: None
    duties: tuple[Duty, ...] = DUTIES
    vain_looks: VainLooks | None = None
    instants: int = 0
    idle: Counter[str] = field(default_factory=Counter)  # duties that said they were due and did nothing
    _planned: dict[str, datetime | None] = field(default_factory=dict)  # when each duty is due, as it said last
    _compacting: Compacting = field(init=False)

    def __post_init__(self) -> None:
        self._compacting = Compacting(self.connection)

    def go(self, begin: datetime, until: datetime) -> None:
        """Everything has happened that happens from `begin` to `until`, both included."""
        now: datetime | None = begin
        while now is not None and now <= until:
            self.told(now)
            self.instants += 1
            self.catch_up(now)
            self._compacting.look()
            self._leave_out(now, until)
            now = self.next_at(now)

    def catch_up(self, now: datetime) -> None:
        """Nothing is left to be done at `now`."""
        done = self.responses.note(self.connection, now) + self._take_orders(now)
        for _ in range(_MOST_ROUNDS):
            did = self._duties(now) + self._send(now)
            done += did
            did += self._advance(now)
            if done or did:
                did += self._end_runs(now) + self._take_orders(now)
            if not did:
                return
        raise _circles("something", now)

    def next_at(self, now: datetime) -> datetime | None:
        """The first instant after `now`, which was caught up with, at which something happens; None: nothing does any
        more."""
        times: list[datetime | None] = [
            self._after_idling(name, at, now) for name, at in self._planned.items() if at is not None
        ]
        return _first_after(now, [*times, *self._other_times(now)])

    # --- at one instant -------------------------------------------------------------------------------------------

    def _duties(self, now: datetime) -> int:
        """Duties are done whose time has come: by what they said before, or say now."""
        done = 0
        for duty in self.duties:
            planned = self._planned.get(duty.name, now)
            if planned is None or planned > now:
                planned = self._next_of(duty, now)
            if planned is not None and planned <= now:
                done += self._done(duty, now)
                planned = self._next_of(duty, now)
            self._planned[duty.name] = planned
        return done

    def _done(self, duty: Duty, now: datetime) -> int:
        done = 0
        for _ in range(_MOST_ROUNDS):
            did = duty.run(self.connection, self.circumstances, now)
            if not did:
                return done
            done += did
        raise _circles(duty.name, now)

    def _next_of(self, duty: Duty, now: datetime) -> datetime | None:
        return duty.next_at(self.connection, self.circumstances, now)

    def _send(self, now: datetime) -> int:
        done = 0
        for _ in range(_MOST_ROUNDS):
            due = batches.due_batches(self.connection, now=now, again_after=None)
            if not due:
                return done
            for batch_id, _ in due:
                self.courier.send_batch(self.connection, batch_id, now)
            done += len(due)
        raise _circles("sending", now)

    def _advance(self, now: datetime) -> int:
        """Roll-outs are in their next stage."""
        staged = rollout.staged(self.connection)
        return sum(len(rollout.advance(self.connection, now, run_id=run_id)) for run_id in staged)

    def _end_runs(self, now: datetime) -> int:
        batches.settle_stopped(self.connection, now, policy=self.circumstances.settings.refusals)
        ended = batches.finish_runs(self.connection, now)
        return len(ended) + len(transactional.finish_superseded(self.connection, now))

    def _take_orders(self, now: datetime) -> int:
        return sum(self.connection.execute(order, {"now": now}).rowcount for order in _ORDERS)

    # --- what comes next ------------------------------------------------------------------------------------------

    def _other_times(self, now: datetime) -> list[datetime | None]:
        """When something happens that is no duty."""
        places = (rollout.place_of(self.connection, run_id) for run_id in rollout.staged(self.connection))
        stages = [place.next_at for place in places if place is not None]
        times = (self._asked(_NEXT_BATCH, now), self._asked(_NEXT_ORDER, now), self.responses.next_at(self.connection))
        return [*times, *stages]

    def _leave_out(self, now: datetime, until: datetime) -> None:
        """Looks that can find nothing count as made, unless some duty stands still: it is tried again with each."""
        planned = [at for at in self._planned.values() if at is not None]
        if self.vain_looks is None or min(planned, default=now) <= now:
            return
        looking = {duty.name for duty in _LOOKING}
        others = [at for name, at in self._planned.items() if name not in looking]
        self.vain_looks.leave_out(now, until, _first_after(now, [*others, *self._other_times(now)]))
        for duty in _LOOKING:
            self._planned[duty.name] = self._next_of(duty, now)

    def _after_idling(self, name: str, at: datetime, now: datetime) -> datetime:
        if at > now:
            return at
        self.idle[name] += 1
        return now + _IDLE

    def _asked(self, query: object, now: datetime) -> datetime | None:
        found: datetime | None = self.connection.execute(query, {"now": now}).scalar()  # type: ignore[call-overload]
        return found


def _first_after(now: datetime, times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None and time > now), default=None)


def _circles(what: str, now: datetime) -> RuntimeError:
    return RuntimeError(f"{what} goes round in circles at {now.isoformat()}")
