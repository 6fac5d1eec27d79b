"""One batch from claim to close: rendered, handed over window by window, and accounted for."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from campaigns import batches, ledger, mailings
from campaigns.journal import Journal
from campaigns.ledger import Claim
from campaigns.mailings import Letter, Recipient, Studio
from core.clock import Clock
from core.database import Database
from core.errors import EngineError, RenderError, TransportError
from core.workspace import Workspace
from delivery.message_bytes import write_message
from delivery.smtp import Endpoint, HandOver, Outcome, Outgoing, SmtpPool

_log = logging.getLogger("clarion.sending")
#: A batch that is under way this long is given back with what is left of it, so that a worker told to stop does so.
_LONGEST_TRIP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one batch."""

    batch_id: int
    messages: int
    render_failed: int
    fault: str | None  # why the batch could not go on


@dataclass(slots=True)
class Courier:
    """Sends batches in one worker process. Its event loop and its connections are kept from batch to batch."""

    workspace: Workspace
    database: Database
    clock: Clock
    name: str  # of the worker, as the ledger shows it
    is_stopping: Callable[[], bool] = bool  # whether this process was told to end
    _studio: Studio | None = None
    _pools: dict[str, SmtpPool] = field(default_factory=dict)
    _runner: asyncio.Runner | None = None

    def send_batch(self, batch_id: int) -> Sent | None:
        """The batch's messages are handed over and answered; None when the batch was not to be had.

        What keeps a batch from going is said on its run, and the batch is tried again. A bug keeps its traceback,
        after the batch was given back. Repeat: safe.
        """
        lease = self.workspace.settings.workers.lease
        with self.database.begin() as connection:
            held = ledger.claim(connection, batch_id, worker=self.name, lease=lease, now=self.clock.now())
        if held is None:
            return None
        trip = Trip(self, held)
        fault: str | None = "a bug: the worker's log has its traceback"
        try:
            fault = self._travel(trip)
        finally:
            self._close_batch(trip, fault)
        return Sent(batch_id, len(held.message_ids), len(trip.render_failed), fault)

    def _travel(self, trip: "Trip") -> str | None:
        """The trip is over; what kept it from going on is returned."""
        try:
            with self.database.begin() as connection:
                trip.letter = self.studio.letter(connection, trip.held.version_id)
                trip.people = list(mailings.recipients(connection, trip.held.message_ids))
            pool = self._pool(trip.letter.version.transport)
            self._loop().run(trip.go(pool))
        except EngineError as error:
            _log.warning("batch %d: %s", trip.held.batch_id, error.message)
            return error.message
        return None

    def _close_batch(self, trip: "Trip", fault: str | None) -> None:
        now = self.clock.now()
        with self.database.begin() as connection:
            ledger.skip(connection, trip.render_failed, "render_failed", now)
            if trip.people is not None:
                gone = set(trip.held.message_ids) - {person.message_id for person in trip.people}
                ledger.skip(connection, sorted(gone), "address_changed", now)
            pause = batches.FAULT_PAUSE if fault else batches.AT_ONCE
            batches.close(connection, trip.held, now, pause=pause, fault=fault)

    @property
    def studio(self) -> Studio:
        if self._studio is None:
            self._studio = Studio(self.workspace)
        return self._studio

    def _pool(self, transport: str) -> SmtpPool:
        if transport not in self._pools:
            if transport not in self.workspace.settings.transports:
                self.workspace = Workspace(self.workspace.root)  # the file may have got it since this process began
            transports = self.workspace.settings.transports
            if transport not in transports:
                raise TransportError(
                    f"no transport {transport!r} in clarion.yaml", hint="restore it, or cancel the run"
                )
            self._pools[transport] = SmtpPool(Endpoint.of(transports[transport], self.workspace.root))
        return self._pools[transport]

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
        self._runner, self._pools = None, {}


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


@dataclass(slots=True)
class Trip:
    """One batch on its way."""

    courier: Courier
    held: Claim
    letter: Letter | None = None
    people: list[Recipient] | None = None
    render_failed: list[int] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)  # of the messages under way
    stopped: bool = False  # the run was paused, the batch is somebody else's, or it took too long: render no more

    async def go(self, pool: SmtpPool) -> None:
        """Every message that could be rendered in time is handed over and answered.

        Raises:
            TransportError: the transport cannot be used.
        """
        assert self.letter is not None  # noqa: S101  read before the trip begins
        courier = self.courier
        tried = {person.message_id: person.attempt_count for person in self.people or ()}
        transport = self.letter.version.transport
        journal = Journal(courier.database, self.held, transport, courier.clock, tried, self.contents)
        renewing = asyncio.ensure_future(self._keep_lease(journal))
        try:
            await pool.deliver(self._mails(self.letter), self._hand_over_to(journal))
        finally:
            renewing.cancel()
            await journal.close()

    async def _keep_lease(self, journal: Journal) -> None:
        """A server may take minutes to answer: the lease is renewed while this worker lives."""
        while True:
            await asyncio.sleep(self.held.lease.total_seconds() / 3)
            self.stopped |= not await journal.is_held()

    def _hand_over_to(self, journal: Journal) -> HandOver:
        async def hand_over(answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
            going = await journal.write(answered, ids)
            for message_id, _ in answered:
                self.contents.pop(message_id, None)
            if ids and not going:
                self.stopped |= not await journal.is_held()
            return going

        return hand_over

    def _mails(self, letter: Letter) -> Iterator[Outgoing]:
        sender = letter.version.sender.email
        deadline = time.monotonic() + _LONGEST_TRIP_S
        for person in self.people or ():
            if self.stopped or self.courier.is_stopping() or time.monotonic() > deadline:
                return
            content = self._content(letter, person)
            if content is not None:
                self.contents[person.message_id] = content
                yield Outgoing(person.message_id, sender, person.email, content, person.smtputf8)

    def _content(self, letter: Letter, person: Recipient) -> bytes | None:
        """The finished bytes; None, and one more failed, where this person's mailing cannot be rendered."""
        try:
            return write_message(self.courier.studio.mail(letter, person))
        except RenderError as error:
            _log.warning("message %d was not rendered: %s", person.message_id, error.message)
        except Exception:  # noqa: BLE001  a bug met by one person's values must not keep all others waiting for ever
            _log.exception("message %d was not rendered", person.message_id)
        self.render_failed.append(person.message_id)
        return None
