"""A mail server that stops every connection at one point of the dialogue, so that a test can strike there.

Or a slow one, which takes its time with every answer to a message.
"""

import asyncio
import contextlib
import email
import enum
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from demo.inbox import Session


class Point(enum.Enum):
    """Where in the life of a message (S-1.34)."""

    BEFORE_MAIL = "before MAIL"
    AFTER_RECIPIENT = "after RCPT"
    MID_BODY = "mid-body"
    BEFORE_ANSWER = "after the dot, before 250"
    AFTER_ANSWER = "after 250, before the commit"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message the server took, whether or not its answer was ever read."""

    message_id: str
    recipient: str
    content: bytes


@dataclass
class HoldingServer:
    """Connections that come to `point` stay there until they are lost or `answer_held` is called.

    `disarm` makes it a polite server for all connections to come. `thinks_s`: seconds until a message is answered.
    """

    point: Point | None = None
    thinks_s: float = 0
    taken: list[Taken] = field(default_factory=list)
    port: int = 0
    _arrivals: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _held: list["_Talk"] = field(default_factory=list)
    _talks: list["_Talk"] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def wait_for_held(self, count: int, timeout_s: float = 60) -> None:
        """`count` more connections are held at the point."""
        for number in range(count):
            assert self._arrivals.acquire(timeout=timeout_s), f"{number} of {count} connections came to {self.point}"

    def disarm(self) -> None:
        """Nothing is held any more; what lost clients had written is read to its end."""
        self._call(self._disarm)

    def answer_held(self) -> None:
        """The connections that are held get their answer."""
        self._call(lambda: [talk.answer() for talk in self._held])

    @property
    def recipients(self) -> list[str]:
        """Of everything taken, in order."""
        return [mail.recipient for mail in self.taken]

    # What sessions call: the store of `demo.inbox`, and the point.

    def add(self, mail_from: str, recipients: list[str], content: bytes) -> int:
        """The mail is taken."""
        message_id = email.message_from_bytes(content)["Message-ID"].strip()
        self.taken += [Taken(message_id, recipient, content) for recipient in recipients]
        return len(self.taken)

    def hold(self, talk: "_Talk", point: Point) -> bool:
        """Whether the connection is to stay where it is."""
        if point is not self.point:
            return False
        self._held.append(talk)
        self._arrivals.release()
        return True

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """It is done in so many seconds."""
        self._loop.call_later(seconds, act)

    async def hang_up(self) -> None:
        """Every connection is cut."""
        for talk in self._talks:
            talk.cut()
        await asyncio.sleep(0)  # the loop's own turn to let go of them

    def _disarm(self) -> None:
        self.point = None
        for talk in self._held:
            talk.read_on()
        self._held.clear()

    def _call(self, act: Callable[[], object]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (act(), done.set()))
        assert done.wait(10)


class _Talk(Session):
    def __init__(self, server: HoldingServer) -> None:
        super().__init__(server)  # type: ignore[arg-type]  # a store of its own
        self._server = server
        self._is_held = False
        self._withheld: list[bytes] = []
        server._talks.append(self)

    def cut(self) -> None:
        """The connection is gone."""
        self._transport.abort()

    def answer(self) -> None:
        """What was withheld is written."""
        self._is_held = False
        withheld, self._withheld = self._withheld, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(withheld))

    def read_on(self) -> None:
        """Whatever the client still had written is read."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._searched and self._stop_at(Point.MID_BODY):
            self._transport.pause_reading()

    def _reply(self, text: bytes) -> None:
        (self._withheld if self._is_held else self._replies).append(text + b"\r\n")

    def _stop_at(self, *points: Point) -> bool:
        self._is_held = self._is_held or any(self._server.hold(self, point) for point in points)
        return self._is_held

    def _ehlo(self, name: bytes) -> None:
        self._stop_at(Point.BEFORE_MAIL)
        super()._ehlo(name)

    def _data(self, nothing: bytes) -> None:
        self._stop_at(Point.AFTER_RECIPIENT)
        super()._data(nothing)

    def _keep(self, content: bytes) -> None:
        self._stop_at(Point.BEFORE_ANSWER, Point.AFTER_ANSWER)
        if self._server.thinks_s and not self._is_held:
            self._is_held = True
            self._server.after(self._server.thinks_s, self.answer)
        super()._keep(content)


@contextlib.contextmanager
def holding(point: Point | None = None, *, thinks_s: float = 0) -> Iterator[HoldingServer]:
    """The server, in a thread of its own."""
    server = HoldingServer(point, thinks_s)
    loop = server._loop
    thread = threading.Thread(target=loop.run_forever, name="mail server")
    thread.start()
    with socket.socket() as listening:
        # Small pieces and a small buffer: the kernel then keeps little of a message that nobody reads on.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        server.port = listening.getsockname()[1]
        listens = loop.create_server(lambda: _Talk(server), sock=listening)
        opened = asyncio.run_coroutine_threadsafe(listens, loop).result(10)
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(opened.close)
            asyncio.run_coroutine_threadsafe(server.hang_up(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()
