"""What a worker does with one batch: claimed, sent over a transport that may be used, and closed."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from campaigns import batches, ledger, mailings, transactional
from campaigns.journal import PATIENCE_S, TRY_AGAIN_S, Journal
from campaigns.journey import Journey
from campaigns.line import Line
from campaigns.mailings import Studio
from campaigns.pacing import domain_of, pace
from campaigns.putting_off import hold_off, in_hands
from campaigns.sequences import recall
from campaigns.trip import Desk, JournalFor, Trip
from core.arrays import among
from core.clock import Clock
from core.database import Database, is_gone
from core.errors import EngineError, ServiceError, TransportError
from core.schema import kept_content
from core.workspace import Workspace
from delivery import dkim, routes
from delivery.smtp import Endpoint, SmtpPool, TransportFault
from delivery.throttles import Tallies, Throttles
from suppression.policy import Policy
from tracking.return_paths import ReturnPaths

_log = logging.getLogger("clarion.sending")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one batch."""

    batch_id: int
    messages: int
    render_failed: int
    fault: str | None  # why the batch could not go on


@dataclass
class Courier:
    """Sends batches in one worker process. Its event loop and its connections are kept from batch to batch."""

    workspace: Workspace
    database: Database
    clock: Clock
    name: str  # of the worker, as the ledger shows it
    is_stopping: Callable[[], bool] = bool  # whether this process was told to end
    _pools: dict[str, SmtpPool] = field(default_factory=dict)
    _runner: asyncio.Runner | None = None

    def send_batch(self, batch_id: int) -> Sent | None:
        """The batch's messages are handed over and answered; None when the batch was not to be had.

        What keeps a batch from going is said on its run, and the batch is tried again. A bug keeps its traceback,
        after the batch was given back. Repeat: safe.
        """
        settings = self.workspace.settings
        with self.database.begin() as connection:
            transactional.gather(connection, batch_id, self.clock.now())
            held = ledger.claim(
                connection, batch_id, worker=self.name, lease=settings.workers.lease, policy=Policy.of(settings),
                now=self.clock.now(),
            )  # fmt: skip
        if held is None:
            return None
        journey = Journey(held)
        try:
            self._travel(journey)
        finally:
            self._close_batch(journey)
        failed = journey.trip.render_failed if journey.trip is not None else ()
        return Sent(batch_id, len(held.message_ids), len(failed), journey.fault)

    def _travel(self, journey: Journey) -> None:
        """The trip is over; what kept it from going on is known."""
        try:
            with self.database.begin() as connection:
                self._prepare(connection, journey)
            if journey.trip is not None:
                self._loop().run(journey.trip.go(self._pool(journey.transport), self._journal_of(journey)))
            journey.fault, journey.pause = None, batches.AT_ONCE
        except EngineError as error:
            _log.warning("batch %d: %s", journey.held.batch_id, error.message)
            journey.fault = error.message
            journey.transport_fault = error if isinstance(error, TransportFault) else None
            journey.pause = error.wait if isinstance(error, routes.AllHeld) else journey.pause
            error.with_traceback(None)  # its frames hold the whole batch, which holds the error
        except DBAPIError as error:
            if not is_gone(error):
                raise
            journey.fault = f"the database went away: {type(error.orig).__name__}"
            _log.warning("batch %d: %s", journey.held.batch_id, journey.fault)

    def _prepare(self, connection: Connection, journey: Journey) -> None:
        """The messages that may go now are ready, and who must wait has a batch of their own.

        Raises:
            AllHeld: no transport may be used at present.
        """
        letter = self.studio.letter(connection, journey.held.version_id)
        route = letter.version.transport
        self._know(route)
        routes.look(connection, self.workspace.settings, route)
        people = list(
            mailings.recipients(connection, journey.held.message_ids, policy=journey.held.policy, now=self.clock.now())
        )
        journey.gone = sorted(set(journey.held.message_ids) - {person.message_id for person in people})
        if not people:
            return
        journey.held, people = recall.leave_out(connection, journey.held, people, letter.version, self.clock.now())
        journey.held, people = hold_off(connection, journey.held, people, letter.version, self.clock.now())
        if not people:
            return
        self._choose(journey, route)
        journey.held, people = pace(
            connection, journey.held, people, journey.transport, self.throttles,
            lambda: routes.spills(connection, self.workspace.settings, route, journey.transport),
        )  # fmt: skip
        sender = letter.version.sender
        desk = Desk(
            studio=self.studio,
            letter=letter,
            signer=dkim.signer_for(self.signers, sender.email),
            signing=self.signing,
            return_paths=ReturnPaths(self.workspace.token_secret, sender.return_path) if sender.return_path else None,
            is_stopping=self.is_stopping,
        )
        tried = [person.message_id for person in people if person.attempt_count]
        journey.trip = Trip(desk, journey.held, people, _kept(connection, tried))

    def _choose(self, journey: Journey, route: str) -> None:
        """In a transaction of its own: while rates are locked, the row of a transport on trial is not."""
        with self.database.begin() as connection:
            journey.chosen_at = connection.execute(select(func.now())).scalar_one()
            journey.transport = routes.choose(connection, self.workspace.settings, route, salt=journey.held.batch_id)

    def _close_batch(self, journey: Journey) -> None:
        """The batch is closed; a database that went away is waited for, since what was refused is told nobody else."""
        told: Tallies | None = None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            counted = self.tallies.copy()
            try:
                with self.database.begin() as connection:
                    self._settle(connection, journey, told)
                    told = self.tallies
            except (DBAPIError, ServiceError) as error:
                self.tallies = counted
                if (isinstance(error, DBAPIError) and not is_gone(error)) or time.monotonic() > deadline:
                    raise
                time.sleep(TRY_AGAIN_S)
            else:
                break
        if journey.refused:  # their domain may be held by now
            self.throttles.look_again()

    def _settle(self, connection: Connection, journey: Journey, told: Tallies | None) -> None:
        """`told`: the tallies after a former try that may have been committed, for nobody heard whether it was."""
        skipped = {"address_changed": journey.gone}
        if journey.trip is not None:
            skipped["render_failed"] = journey.trip.render_failed
            if told is None or in_hands(connection, journey.held):
                self._tell_throttles(connection, journey, journey.trip)
            else:
                self.tallies = told
        batches.close(
            connection, journey.held, self.clock.now(), pause=self._pause(connection, journey), fault=journey.fault,
            skipped=skipped, refused=journey.refused, policy=self.workspace.settings.refusals,
        )  # fmt: skip

    def _tell_throttles(self, connection: Connection, journey: Journey, trip: Trip) -> None:
        """What the transport and the receivers did counts for whatever is sent next."""
        domains = {person.message_id: domain_of(person.email) for person in trip.people}
        if unsent := Counter(domains[person.message_id] for person in trip.unsent):
            self.throttles.give_back(connection, journey.transport, unsent)
        if journey.transport_fault is not None:
            routes.fault(connection, journey.transport, journey.transport_fault)
        elif any(outcome.code is not None for _, outcome in trip.answers):  # a server said it
            routes.well(connection, journey.transport, began=journey.chosen_at)
        # Behind every lock on throttles: rows of tallies are waited for, those of domains are not.
        self.tallies.record(connection, ((domains[message_id], outcome) for message_id, outcome in trip.answers))

    def _pause(self, connection: Connection, journey: Journey) -> timedelta:
        """How long what is left of the batch waits: not at all where another transport may take it."""
        if journey.fault is None or not journey.transport_fault:
            return journey.pause
        route = journey.trip.desk.letter.version.transport if journey.trip is not None else journey.transport
        wait = routes.wait(connection, self.workspace.settings, route)
        if wait is not None:
            return wait
        has_others = len(routes.ways(self.workspace.settings, route)) > 1
        return batches.AT_ONCE if has_others else batches.FAULT_PAUSE

    @cached_property
    def studio(self) -> Studio:
        return Studio(self.workspace)

    @cached_property
    def throttles(self) -> Throttles:
        return Throttles.of(self.workspace.settings)

    @cached_property
    def tallies(self) -> Tallies:
        return Tallies(self.throttles)

    @cached_property
    def signers(self) -> Mapping[str, dkim.Signer]:
        return dkim.signers(self.workspace.settings.dkim, self.workspace.root)

    @cached_property
    def signing(self) -> dkim.SigningPool:
        return dkim.SigningPool()

    @cached_property
    def line(self) -> Line:
        return Line(self.database)

    def _know(self, route: str) -> None:
        """The settings are read again when they do not know the route: the file may have got it since."""
        settings = self.workspace.settings
        if route in settings.transports or route in settings.routes:
            return
        self.workspace = Workspace(self.workspace.root)
        for name in ("throttles", "tallies", "signers"):
            self.__dict__.pop(name, None)

    def _pool(self, transport: str) -> SmtpPool:
        if transport not in self._pools:
            endpoint = Endpoint.of(self.workspace.settings.transports[transport], self.workspace.root)
            self._pools[transport] = SmtpPool(endpoint)
        return self._pools[transport]

    def _journal_of(self, journey: Journey) -> JournalFor:
        return lambda tried, contents: Journal(self.line, journey.held, journey.transport, self.clock, tried, contents)

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=_new_loop)
        return self._runner

    def close(self) -> None:
        """Every connection is closed politely. Repeat: safe."""
        if self._runner is not None:
            for pool in self._pools.values():
                with contextlib.suppress(OSError, TransportError):
                    self._runner.run(pool.close())
            self._runner.close()
        if "signing" in self.__dict__:
            self.signing.close()
        if "line" in self.__dict__:
            self.line.drop()
        self._runner, self._pools = None, {}


def _kept(connection: Connection, message_ids: list[int]) -> Mapping[int, bytes]:
    """The compressed bytes of those of the messages that were tried before."""
    if not message_ids:
        return {}
    query = select(kept_content.c.message_id, kept_content.c.content)
    return {row[0]: row[1] for row in connection.execute(query.where(among(kept_content.c.message_id, message_ids)))}


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
