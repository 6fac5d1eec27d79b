"""The one process that tells workers what is due: elected by the database, driven by APScheduler.

Every tick may be repeated: publishing a batch twice is harmless because a batch is claimed once, and duties do nothing
twice. An old leader that wakes up late writes nothing (`workers.leading`).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import OperationalError as DatabaseGone

from campaigns import batches, rollout, transactional
from campaigns.attending import is_waiting
from campaigns.runs import WORK_CHANNEL
from campaigns.sequences import calls
from core.clock import Clock
from core.database import Transactions, plain_link
from core.errors import ServiceError
from core.refusal_settings import Refusals
from workers.celery_app import ATTEND, BULK, CALL, CALLS, QUEUES, SEND_BATCH, TRANSACTIONAL
from workers.leading import Deposed, Lead

_log = logging.getLogger("clarion.scheduler")
#: A batch nobody took is told again after this long.
AGAIN_AFTER: Final = timedelta(seconds=30)
#: Bulk batches that wait in the broker at most, and how many are told in one go.
_AHEAD: Final = 500
_SLICE: Final = 20
_TICK_S: Final = 1.0
_ELECTION_S: Final = 2.0
_SHORTEST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 0.5
_ATTEND_AGAIN_S: Final = 5.0
_CALL_AGAIN_S: Final = 5.0
#: How often what is sent is looked at as a whole (`campaigns.attending`).
_LOOK_EVERY_S: Final = 600.0
_CHORES_S: Final = 600.0
#: Whether each of the steps of `Ticks.settle` has anything to do.
_TO_SETTLE: Final = select(batches.IS_STOPPED, rollout.IS_AHEAD, batches.IS_OVER, transactional.IS_FORMER)


class Ticks:
    """What is done each second."""

    def __init__(self, database: Transactions, app: Celery, clock: Clock, policy: Refusals | None = None) -> None:
        """`policy`: what refusals lead to that a lost worker of a stopped run had heard."""
        self._database, self._app, self._clock, self._policy = database, app, clock, policy
        self._one_at_a_time = threading.Lock()
        self._attended_at = self._looked_at = self._called_at = float("-inf")

    def publish(self) -> int:
        """Workers are told of what is due; the number of batches told is returned. Repeat: safe.

        Transactional ones come first, and in between slices of bulk: 400 bulk batches take 0.7 s to tell. Of bulk no
        more is told than workers take soon. A batch that nobody took is told again only while its queue is empty:
        busy workers will come to it.
        """
        with self._one_at_a_time:
            try:
                told = self._tell(TRANSACTIONAL)
                if not self._may(partial(batches.is_due, again_after=AGAIN_AFTER)):
                    return told
                waiting = self._waiting()
                told += self._tell(TRANSACTIONAL, again=not waiting[TRANSACTIONAL])
                return told + self._tell_bulk(_AHEAD - waiting[BULK], again=not waiting[BULK])
            except (OperationalError, OSError) as error:
                _log.warning("the broker cannot be reached: %s", error)
                return 0

    def _tell_bulk(self, room: int, *, again: bool) -> int:
        told = urgent = 0
        while told < room:
            found = self._tell(BULK, again=again, most=min(_SLICE, room - told))
            if not found:
                break
            told += found
            urgent += self._tell(TRANSACTIONAL)
        return told + urgent

    def _tell(self, queue: str, *, again: bool = False, most: int | None = None) -> int:
        """The number of batches of the queue that workers were told of.

        Raises:
            OperationalError: the broker cannot be reached; what it was not told is told again later.
        """
        again_after = AGAIN_AFTER if again else None
        with self._database.begin() as connection:
            due = batches.due_batches(
                connection, now=self._clock.now(), again_after=again_after, queue=queue, most=most
            )
        for batch_id, _ in due:
            self._app.send_task(SEND_BATCH, args=[batch_id], queue=queue)
        return len(due)

    def _waiting(self) -> dict[str, int]:
        """How many tasks each queue holds.

        Raises:
            OperationalError: the broker cannot be asked.
        """
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            return {name: channel.queue_declare(name).message_count for name in QUEUES}

    def settle(self) -> None:
        """Runs with nothing left are finished, stopped ones have nothing in a lost worker's hands, and roll-outs go on
        when their stage went well. One run's fault does not hold up the others. Repeat: safe."""
        with self._database.link() as connection:
            stopped, ahead, over, former = connection.execute(_TO_SETTLE).one()
        if stopped:
            self._step("stopped runs could not be settled", partial(batches.settle_stopped, policy=self._policy))
        if ahead:
            self._roll_out()
        if over:
            self._step("runs could not be finished", batches.finish_runs)
        if former:
            self._step("runs of former versions could not be finished", transactional.finish_superseded)

    def _roll_out(self) -> None:
        with self._database.begin() as connection:
            staged = rollout.staged(connection)
        for run_id in staged:
            self._step(f"the roll-out of run {run_id} could not go on", partial(rollout.advance, run_id=run_id))

    def attend(self) -> bool:
        """A worker is told when something came back that waits, or a notice to the staff, and every ten minutes;
        whether one was. Repeat: safe; a worker that has not come to it is told again after some seconds."""
        if time.monotonic() < self._attended_at + _ATTEND_AGAIN_S:
            return False
        looks = time.monotonic() > self._looked_at + _LOOK_EVERY_S
        if not looks and not self._may(is_waiting):
            return False
        with self._database.begin() as connection:
            if not looks and not is_waiting(connection, self._clock.now()):
                return False
        try:
            self._app.send_task(ATTEND, args=[looks], queue=TRANSACTIONAL, expires=_ATTEND_AGAIN_S)
        except (OperationalError, OSError) as error:
            _log.warning("the broker cannot be reached: %s", error)
            return False
        self._attended_at = time.monotonic()
        self._looked_at = self._attended_at if looks else self._looked_at
        return True

    def call(self) -> bool:
        """A worker is told when other systems are to be called; whether one was. Repeat: safe, as of `attend`."""
        if time.monotonic() < self._called_at + _CALL_AGAIN_S or not self._may(calls.is_due):
            return False
        with self._database.begin() as connection:
            if not calls.is_due(connection, self._clock.now()):
                return False
        try:
            self._app.send_task(CALL, queue=CALLS, expires=_CALL_AGAIN_S)
        except (OperationalError, OSError) as error:
            _log.warning("the broker cannot be reached: %s", error)
            return False
        self._called_at = time.monotonic()
        return True

    def _may(self, asked: Callable[..., bool]) -> bool:
        """Whether it is so: a question outside of the fence costs a third of a transaction within it."""
        with self._database.link() as connection:
            return asked(connection, now=self._clock.now())

    def _step(self, fault: str, step: Callable[[Connection, datetime], object]) -> None:
        """The step is committed; or `fault` is logged with its traceback, and it is tried again at the next tick."""
        try:
            with self._database.begin() as connection:
                step(connection, self._clock.now())
        except (DatabaseGone, ServiceError):
            raise  # the next step would fare no better
        except Exception:  # noqa: BLE001  see above
            _log.exception("%s", fault)


def run(
    lead: Lead, jobs: Sequence[Callable[[], object]], publish: Callable[[], object], stopping: threading.Event,
    elected: Callable[[], None], chores: Sequence[Callable[[], object]] = (),
) -> None:  # fmt: skip
    """Leads when elected, until `stopping` is set; waits while another process leads.

    `jobs` and `publish` are done each second, each in a thread of its own; `publish` also as soon as something is due.
    `chores` are done every ten minutes, and know themselves when there is something to do.

    A database that goes away is waited for; leadership ends with the connection that holds the lock.
    """
    while not stopping.is_set():
        try:
            with plain_link(lead.url, "clarion scheduler") as connection:
                if lead.is_won(connection):
                    elected()
                    _lead(connection, lead, (publish, *jobs), stopping, chores)
        except Deposed:
            _log.warning("another scheduler leads: this one stands by")
        except (psycopg.OperationalError, DBAPIError, ServiceError) as error:
            _log.warning("the database went away: %s", str(error).strip().splitlines()[0])
        stopping.wait(_ELECTION_S)


def _lead(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    lead: Lead,
    jobs: Sequence[Callable[[], object]],
    stopping: threading.Event,
    chores: Sequence[Callable[[], object]],
) -> None:
    scheduler = BackgroundScheduler(timezone=UTC)
    for seconds, works in ((_TICK_S, jobs), (_CHORES_S, chores)):
        for job in works:
            led = partial(_under, lead, job)
            scheduler.add_job(led, "interval", seconds=seconds, max_instances=1, coalesce=True, misfire_grace_time=None)
    publish = partial(_under, lead, jobs[0])
    connection.execute(f"LISTEN {WORK_CHANNEL}")
    scheduler.start()
    try:
        while not stopping.is_set():
            wait_s = _until_due(connection)
            noticed = list(connection.notifies(timeout=wait_s, stop_after=1))  # many orders at once are one notice
            if lead.is_over:
                raise Deposed
            if noticed or wait_s < _LONGEST_WAIT_S:
                publish()
    finally:
        lead.end()
        scheduler.shutdown(wait=True)


def _under(lead: Lead, job: Callable[[], object]) -> None:
    """The job is done unless another scheduler leads, which `lead` then knows, or the database is away."""
    if lead.is_over:
        return
    try:
        job()
    except Deposed:
        pass  # the lead knows
    except (DatabaseGone, ServiceError) as error:
        _log.warning("the database went away: %s", str(error).strip().splitlines()[0])


#: Throttled batches come up every quarter of a second, sooner than the next tick. Asking also says: still here.
_NEXT_DUE: Final = """
    SELECT extract(epoch FROM batch.not_before - now())::float8 FROM batch JOIN run ON run.id = batch.run_id
    WHERE batch.state <> 'done' AND batch.not_before > now() AND run.state = 'running'
    ORDER BY batch.not_before LIMIT 1
"""


def _until_due(connection: "psycopg.Connection[tuple[Any, ...]]") -> float:
    """Seconds until the next batch comes up: at most half a second, and enough to do something else meanwhile."""
    row = connection.execute(_NEXT_DUE).fetchone()
    return _LONGEST_WAIT_S if row is None else min(_LONGEST_WAIT_S, max(_SHORTEST_WAIT_S, row[0]))
