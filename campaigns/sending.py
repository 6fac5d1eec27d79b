"""One batch from claim to close: rendered, handed over window by window, and accounted for."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from campaigns import batches, ledger, mailings, window
from campaigns.ledger import Claim
from campaigns.mailings import Letter, Recipient, Studio
from core.clock import Clock
from core.database import Database
from core.errors import RenderError, TransportError
from core.workspace import Workspace
from delivery.message_bytes import write_message
from delivery.smtp import Endpoint, Outcome, Outgoing, SmtpPool

_log = logging.getLogger("clarion.sending")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one batch."""

    batch_id: int
    messages: int
    render_failed: int
    fault: str  # what is wrong with the transport, or empty


@dataclass(slots=True)
class Courier:
    """Sends batches in one worker process. Its event loop and its connections are kept from batch to batch."""

    workspace: Workspace
    database: Database
    clock: Clock
    name: str  # of the worker, as the ledger shows it
    _studio: Studio | None = None
    _pools: dict[str, SmtpPool] = field(default_factory=dict)
    _runner: asyncio.Runner | None = None

    def send_batch(self, batch_id: int) -> Sent | None:
        """The batch's messages are handed over and answered; None when the batch was not to be had.

        Repeat: safe.
        """
        lease = self.workspace.settings.workers.lease
        with self.database.begin() as connection:
            held = ledger.claim(connection, batch_id, worker=self.name, lease=lease, now=self.clock.now())
            if held is None:
                return None
            letter = self.studio.letter(connection, held.version_id)
            people = list(mailings.recipients(connection, held.message_ids))
        return self._deliver(held, letter, people)

    @property
    def studio(self) -> Studio:
        if self._studio is None:
            self._studio = Studio(self.workspace)
        return self._studio

    def _deliver(self, held: Claim, letter: Letter, people: list[Recipient]) -> Sent:
        fault = ""
        with self.database.autocommit() as link:
            link.execute(window.PLAN_ONCE)
            trip = _Trip(self, held, letter, people, link)
            try:
                self._loop().run(trip.go(self._pool(letter.version.transport)))
            except TransportError as error:
                fault = error.message
                _log.warning("transport %s cannot be used: %s", letter.version.transport, fault)
        now = self.clock.now()
        with self.database.begin() as connection:
            gone = set(held.message_ids) - {person.message_id for person in people}
            ledger.skip(connection, sorted(gone), "no_address", now)
            ledger.skip(connection, trip.render_failed, "render_failed", now)
            batches.close(connection, held, now, pause=batches.TRANSPORT_PAUSE if fault else batches.AT_ONCE)
        return Sent(held.batch_id, len(held.message_ids), len(trip.render_failed), fault)

    def _pool(self, transport: str) -> SmtpPool:
        if transport not in self._pools:
            transports = self.workspace.settings.transports
            if transport not in transports:
                raise TransportError(
                    f"no transport {transport!r} in clarion.yaml", hint="restore it, or cancel the run"
                )
            self._pools[transport] = SmtpPool(Endpoint.of(transports[transport]))
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
class _Trip:
    """One batch on its way."""

    courier: Courier
    held: Claim
    letter: Letter
    people: list[Recipient]
    link: Connection  # commits each statement; used by one thread at a time, as hand-overs never overlap
    render_failed: list[int] = field(default_factory=list)
    stopped: bool = False  # the run was paused, or the batch is somebody else's: render nothing more

    async def go(self, pool: SmtpPool) -> None:
        await pool.deliver(self._mails(), self._hand_over)

    def _mails(self) -> Iterator[Outgoing]:
        sender = self.letter.version.sender.email
        for person in self.people:
            if self.stopped:
                return
            try:
                content = write_message(self.courier.studio.mail(self.letter, person))
            except RenderError as error:
                _log.warning("message %d was not rendered: %s", person.message_id, error.message)
                self.render_failed.append(person.message_id)
                continue
            yield Outgoing(person.message_id, sender, person.email, content, person.smtputf8)

    async def _hand_over(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._write, answered, ids, self.courier.clock.now())

    def _write(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int], now: datetime) -> Collection[int]:
        """Runs in a thread, so that connections go on while the commit is on its way."""
        transport = self.letter.version.transport
        going = window.hand_over(self.link, self.held, ids, answered, transport=transport, now=now)
        if ids and not going:
            self.stopped = not window.is_held(self.link, self.held)
        return going
