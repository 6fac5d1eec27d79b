"""The socket under a session: bytes in and out, and the time each answer may take."""

import asyncio
import math
import socket
from collections import deque
from typing import cast

from delivery.smtp.endpoint import Endpoint, Timers, Tls
from delivery.smtp.faults import Trouble, TroubleKind
from delivery.smtp.replies import GarbledReply, Reply, ReplyParser
from delivery.smtp.session import Session
from delivery.smtp.steps import Step

#: A message keeps its final dot back until its lines have left the process, so that a connection lost in the middle
#: is known to have delivered nothing (S-1.7). One that fills at most this much, and half of the system's send buffer,
#: leaves at once with its dot: nothing else is under way on the connection.
_MOST_AT_ONCE = 65536
#: How soon it is looked at whether the lines have left, then after twice as long each time: under TLS nobody is told.
_NEXT_LOOK_S, _LONGEST_LOOK_S = 0.001, 0.05


class Connection(asyncio.Protocol):
    """One TCP or TLS connection to `address`. Until it has a session, replies are awaited with `reply`."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self.address = address
        self.session: Session | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self.deadline = math.inf
        self.rested_since = loop.time()
        self._endpoint = endpoint
        self._loop = loop
        self._timers: dict[Step, float] = _timers_of(endpoint.timers)
        self._opened_at = loop.time()
        self._transport: asyncio.Transport | None = None
        self._transports: list[asyncio.Transport] = []  # that octets pass through: of TCP, and then of TLS
        self._most_at_once = 0
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._trouble: Trouble | None = None
        self._message_count = 0
        self._is_paused = False
        self._unwritten = 0  # octets in the buffer when its progress was last looked at
        self._end: bytes | None = None  # held back until the lines before it have left

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.use(transport)
        self.transport.set_write_buffer_limits(high=0)
        own = self.transport.get_extra_info("socket")
        if own is not None:
            self._most_at_once = min(_MOST_AT_ONCE, own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2)
        if self._endpoint.tls is Tls.IMPLICIT:
            self.transport.pause_reading()  # until the handshake

    def data_received(self, data: bytes) -> None:
        if self._trouble is not None:
            return
        is_whole = False
        try:
            for reply in self._parser.feed(data):
                self._take(reply)
                is_whole = True
                if self._trouble is not None:
                    return
            if is_whole:
                self._set_deadline()  # a part of a reply gives no more time
        except GarbledReply as error:
            self.fail(Trouble(TroubleKind.GARBLED, str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f" ({exc})" if exc is not None and str(exc) else ""
        self._broken(Trouble(TroubleKind.LOST, f"the connection was lost{reason}"))
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._is_paused = True
        self._unwritten = self._unwritten_now()
        self._set_deadline()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._set_deadline()

    # What a session calls.

    def write(self, octets: bytes) -> None:
        if self._transport is not None and self._trouble is None:
            self._transport.write(octets)
            self._set_deadline()

    def write_message(self, lines: bytes, end: bytes) -> None:
        if len(lines) <= self._most_at_once:
            self.write(lines + end)
            return
        self._end = end
        self.write(lines)
        self._write_end()

    def fail(self, trouble: Trouble) -> None:
        """The connection is cut off, and what was under way on it accounted for."""
        self._broken(trouble)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """The connection is closed in order."""
        self._broken(Trouble(TroubleKind.CLOSED, "the connection was closed"))
        if self._transport is not None:
            self._transport.close()

    def close_now(self) -> None:
        """The connection is cut off without regard to what is under way."""
        self.fail(Trouble(TroubleKind.CLOSED, "the connection was cut off"))

    @property
    def is_dot_held_back(self) -> bool:
        return self._end is not None

    @property
    def is_worn_out(self) -> bool:
        """Whether it carried as many messages, or is as old, as the endpoint allows (S-1.28)."""
        count = self._message_count + (self.session is not None and self.session.ending is not None)
        if count >= self._endpoint.messages_per_connection:
            return True
        return count > 0 and self._loop.time() - self._opened_at > self._endpoint.longest_age

    def message_answered(self) -> None:
        self._message_count += 1

    # What the pool and the opening call.

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to, as far as is known."""
        return self._trouble is None and self._transport is not None and not self._transport.is_closing()

    @property
    def is_rested_out(self) -> bool:
        """Whether it was idle for so long that it should not be used again."""
        return self._loop.time() - self.rested_since > self._endpoint.longest_idle

    @property
    def transport(self) -> asyncio.Transport:
        """The transport under it; it changes with TLS."""
        if self._transport is None:
            raise ConnectionError("the connection is not open")
        return self._transport

    def use(self, transport: asyncio.BaseTransport) -> None:
        """From now on `transport` is written to."""
        self._transport = cast("asyncio.Transport", transport)
        self._transports.append(self._transport)

    @property
    def has_unread_octets(self) -> bool:
        """Whether the server sent more than was asked for."""
        return bool(self._replies) or not self._parser.is_empty

    async def reply(self, patience: float) -> Reply:
        """The next reply, within `patience` seconds.

        Raises:
            ConnectionError: the connection broke, or the server sent what is no reply.
            TimeoutError: no reply came.
        """
        async with asyncio.timeout(patience):
            while not self._replies:
                if self._trouble is not None:
                    raise ConnectionError(self._trouble.text)
                self._waiter = self._loop.create_future()
                await self._waiter
        return self._replies.popleft()

    def serve(self, session: Session) -> None:
        """From now on replies go to `session`, beginning with any that came too early."""
        self.session = session
        if self._trouble is not None:
            session.broken(self._trouble)
        while self._replies:
            session.reply(self._replies.popleft())

    def check_time(self, now: float) -> None:
        """The connection is given up if the answer that is due has not come by `now`, or the buffer got no shorter."""
        if self._is_blocked and self._trouble is None:
            unwritten, self._unwritten = self._unwritten, self._unwritten_now()
            if self._unwritten < unwritten:
                self.deadline = now + self._endpoint.timers.block
        if now > self.deadline:
            awaited = self.session.awaited if self.session is not None else None
            what = awaited.name if awaited is not None else "anything"
            self.fail(Trouble(TroubleKind.TIMEOUT, f"no answer to {what} within its time"))

    def _write_end(self, wait_s: float = _NEXT_LOOK_S) -> None:
        """The end of the message is written, or looked after again: its lines have not left yet. Never when they
        cannot any more."""
        if self._end is None or self._trouble is not None or any(one.is_closing() for one in self._transports):
            return
        if self._unwritten_now():
            self._loop.call_later(wait_s, self._write_end, min(2 * wait_s, _LONGEST_LOOK_S))
        else:
            end, self._end = self._end, None
            self.write(end)

    def _unwritten_now(self) -> int:
        """Octets that are still in the process, before or after they were encrypted."""
        return sum(one.get_write_buffer_size() for one in self._transports)

    @property
    def _is_blocked(self) -> bool:
        return self._is_paused or self._end is not None

    def _take(self, reply: Reply) -> None:
        if self.session is not None:
            self.session.reply(reply)
            return
        self._replies.append(reply)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _broken(self, trouble: Trouble) -> None:
        if self._trouble is not None:
            return
        self._trouble = trouble
        self.deadline = math.inf
        self._wake()
        if self.session is not None:
            self.session.broken(trouble)

    def _set_deadline(self) -> None:
        awaited = self.session.awaited if self.session is not None else None
        if awaited is None or self._trouble is not None:
            self.deadline = math.inf
        elif self._is_blocked:
            self.deadline = self._loop.time() + self._endpoint.timers.block
        else:
            self.deadline = self._loop.time() + self._timers[awaited]


def _timers_of(timers: Timers) -> dict[Step, float]:
    return {
        Step.RSET: timers.mail,
        Step.MAIL: timers.mail,
        Step.RECIPIENT: timers.recipient,
        Step.DATA: timers.data,
        Step.END_OF_DATA: timers.end_of_data,
        Step.LONE_DOT: timers.end_of_data,
        Step.QUIT: timers.quit,
    }
