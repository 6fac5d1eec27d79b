"""The connections to one endpoint, kept from batch to batch."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import astuple

from delivery.smtp.addresses import Addresses
from delivery.smtp.connection import Connection
from delivery.smtp.denials import Denials
from delivery.smtp.dispatch import Dispatch
from delivery.smtp.endpoint import Endpoint
from delivery.smtp.faults import TransportFault, TroubleKind
from delivery.smtp.features import Features
from delivery.smtp.messages import Coming, HandOver, Outgoing
from delivery.smtp.opening import open_connection
from delivery.smtp.session import Session

_LONGEST_TICK = 1.0  # seconds between two looks at the timers
_FEWEST_BARREN = 3


class SmtpPool:
    """Up to `endpoint.connections` connections, opened as they are needed; it lives in one event loop.

    `ssl_context` None stands for Python's verifying default.
    """

    def __init__(self, endpoint: Endpoint, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._endpoint = endpoint
        self._context = ssl_context
        self._crew: dict[Session, Connection] = {}
        self._opening: set[asyncio.Task[tuple[Connection, Features]]] = set()
        self._dispatch: Dispatch | None = None
        self._addresses = Addresses(endpoint.host, endpoint.port)
        self.denials = Denials()
        self._limit = endpoint.connections
        self._barren_count = 0
        self._features: Features | None = None
        self._features_at = 0.0

    async def deliver(self, messages: Iterable[Outgoing | Coming], hand_over: HandOver) -> None:
        """Every message has passed the gate, and its outcome was reported to `hand_over` exactly once.

        Of an id that `hand_over` does not return nothing is reported. `messages` is consumed as connections
        need them, a few ahead. Repeat: safe for messages reported as deferred or not_sent.

        Raises:
            TransportFault: the transport cannot be used. Messages already taken were reported as not_sent; the
                rest were never taken from `messages`. Nobody's message failed by it.
            Exception: what `messages` or `hand_over` raised. After the latter no final dot was written, and
                answers that were not reported are lost: those messages are unknown.
        """
        if self._dispatch is not None:
            raise RuntimeError("the pool delivers one batch at a time")
        await asyncio.sleep(0)  # connections that were closed while they rested are noticed now
        self._dismiss_rested_out()
        self._limit = self._endpoint.connections
        self._barren_count = 0
        dispatch = self._dispatch = Dispatch(messages, hand_over, self, ahead=self._endpoint.connections)
        ticking = asyncio.ensure_future(self._tick())
        try:
            await dispatch.run(self._enlist(dispatch))
        except BaseException:
            self._cut_off()
            raise
        finally:
            ticking.cancel()
            await self._end_openings()
            self._dispatch = None
            self._rest()

    async def close(self) -> None:
        """Every connection is closed. Repeat: safe."""
        for session in list(self._crew):
            if session.is_usable:
                session.quit()
        links = list(self._crew.values())
        closings = [link.closed for link in links]
        if closings:
            await asyncio.wait(closings, timeout=self._endpoint.timers.quit)
        self._cut_off()
        for link in links:
            await link.closed

    # What the dispatch calls.

    def open_more(self, count: int) -> None:
        """Up to `count` connections are being opened; the first one alone, to meet a fault only once."""
        usable_count = sum(session.is_usable for session in self._crew)
        if not usable_count:
            count = 0 if self._opening else 1
        room = self._limit - self._occupied_count() - len(self._opening)
        for _ in range(min(count - len(self._opening) if usable_count else count, room)):
            task = asyncio.ensure_future(open_connection(self._endpoint, self._context, self._addresses))
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def gone(self, session: Session) -> None:
        """A connection was closed; if connection after connection is of no use, the transport is at fault."""
        trouble = session.broken_by
        if trouble is None or trouble.kind is TroubleKind.CLOSED or self._dispatch is None:
            return
        if trouble.kind is TroubleKind.CLOSING or not session.has_served:
            self._addresses.failed(self._crew[session].address)
        self._barren_count = 0 if session.has_served else self._barren_count + 1
        if self._barren_count >= max(_FEWEST_BARREN, self._endpoint.connections):
            self._dispatch.stop(self._fault(f"no connection lasts: {trouble.text}"))

    def is_elsewhere_possible(self, session: Session) -> bool:
        """Whether the server has another address than the session's that did not fail lately."""
        return self._addresses.is_elsewhere_possible(self._crew[session].address)

    def known_features(self) -> Features | None:
        """What the server offered to the latest connection, unless that is older than a connection may get."""
        age = asyncio.get_running_loop().time() - self._features_at
        return self._features if age <= self._endpoint.longest_age else None

    # Opening.

    def _opened(self, task: asyncio.Task[tuple[Connection, Features]]) -> None:
        self._opening.discard(task)
        if task.cancelled() or self._dispatch is None:
            return
        error = task.exception()
        if error is None:
            self._engage(*task.result(), self._dispatch)
        elif not isinstance(error, TransportFault):
            self._dispatch.crash(error)
        elif occupied_count := self._occupied_count():
            self._limit = occupied_count  # the server allows fewer connections than the settings
        elif not self._opening:
            self._dispatch.stop(error)

    def _engage(self, connection: Connection, features: Features, dispatch: Dispatch) -> None:
        self._features, self._features_at = features, asyncio.get_running_loop().time()
        session = Session(connection, features, dispatch)
        self._crew[session] = connection
        connection.closed.add_done_callback(lambda _: self._crew.pop(session, None))
        connection.serve(session)
        if session.is_usable:
            dispatch.welcome(session)

    async def _end_openings(self) -> None:
        openings = list(self._opening)
        for task in openings:
            task.cancel()
        if openings:
            await asyncio.wait(openings)

    # Keeping.

    def _occupied_count(self) -> int:
        return sum(session.broken_by is None for session in self._crew)

    def _enlist(self, dispatch: Dispatch) -> list[Session]:
        """The sessions that can work for `dispatch`; it hears from the others when they are gone."""
        for session in self._crew:
            session.desk = dispatch
            session.is_stale = True
        return [session for session in self._crew if session.is_usable]

    def _dismiss_rested_out(self) -> None:
        for session, connection in list(self._crew.items()):
            if session.is_usable and connection.is_rested_out:
                session.quit()

    def _rest(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._crew.values():
            connection.rested_since = now

    def _cut_off(self) -> None:
        for connection in list(self._crew.values()):
            connection.close_now()

    async def _tick(self) -> None:
        """The timers of all connections are looked at often enough to notice the shortest within a quarter."""
        loop = asyncio.get_running_loop()
        interval = min(_LONGEST_TICK, min(astuple(self._endpoint.timers)) / 4)
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for connection in list(self._crew.values()):
                connection.check_time(now)
            if self._dispatch is not None:
                self._dispatch.tick()

    def _fault(self, what: str) -> TransportFault:
        return TransportFault(what, temporary=True, where=self._endpoint.shown)
