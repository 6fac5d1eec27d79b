"""A scripted SMTP server on real loopback TCP, for tests of delivery.

    async with ScriptedServer({"recipient": [b"550 5.1.1 no such user"]}) as server:
        ...

The script gives answers by stage; a list is used up in order, over all connections, and then the server is
polite again; anything else is given every time. An answer is the bytes of a reply, `DROP` (the connection is
cut), `STALL` (nothing is ever said), `After` (said when something has happened), `Late` (said after a while), `None`
(polite), or a callable that gets the conversation and returns one of these. `Gate` is the other end: it records what
the pool reports.
"""

import asyncio
import contextlib
import enum
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from delivery.smtp import Endpoint, Outcome, OutcomeState, Outgoing, SmtpPool


class Deed(enum.Enum):
    """What a server does instead of answering."""

    DROP = enum.auto()
    STALL = enum.auto()


@dataclass(frozen=True)
class After:
    """A reply that is given once `event` is set."""

    event: asyncio.Event
    reply: bytes


@dataclass(frozen=True)
class Late:
    """The polite reply, given after some seconds."""

    seconds: float


DROP, STALL = Deed.DROP, Deed.STALL
PIPELINING = b"250-test.example\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 OK"
LOCK_STEP = b"250-test.example\r\n250 SIZE"


@dataclass
class Received:
    """One message that the server took."""

    mail_from: str
    recipients: tuple[str, ...]
    content: bytes  # without dot-stuffing


@dataclass
class Conversation:
    """What one connection said: every command, and every chunk of bytes as it arrived."""

    number: int
    commands: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    dots: int = 0  # ends of data seen, for somebody
    has_tls: bool = False

    @property
    def octet_count(self) -> int:
        """How many octets have come so far."""
        return sum(map(len, self.chunks))

    mail_from: str | None = None
    recipients: list[str] = field(default_factory=list)


Answer = bytes | Deed | After | Late | None
Scripted = Answer | Callable[[Conversation], Answer]
Script = Mapping[str, list[Scripted] | Scripted]
_POLITE: dict[str, bytes] = {
    "greeting": b"220 test.example ESMTP",
    "helo": b"250 test.example",
    "starttls": b"220 go ahead",
    "auth": b"235 2.7.0 welcome",
    "mail": b"250 2.1.0 sender ok",
    "recipient": b"250 2.1.5 recipient ok",
    "data": b"354 go ahead",
    "end": b"250 2.0.0 taken",
    "rset": b"250 2.0.0 forgotten",
    "quit": b"221 2.0.0 bye",
    "other": b"500 5.5.2 what?",
}
_STAGES = {
    "EHLO": "ehlo", "HELO": "helo", "STARTTLS": "starttls", "AUTH": "auth", "MAIL": "mail", "RCPT": "recipient",
    "DATA": "data", "RSET": "rset", "QUIT": "quit",
}  # fmt: skip


class _Hangup(Exception):
    """The conversation is over."""


class ScriptedServer:
    """Listens while entered. `received` holds the messages taken, `conversations` the connections in order.

    `ehlo` is the answer to EHLO; `tls` answers STARTTLS, or, with `implicit`, speaks TLS from the first byte.
    `piecemeal` sends every answer octet by octet; `cut_after` cuts a connection after so many octets from
    it, with the answer of stage `early` if there is one; `window` is how many octets it takes in before it has dealt
    with them. `host` and `port` are where it listens.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        ehlo: bytes = PIPELINING,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        piecemeal: bool = False,
        cut_after: int | None = None,
        window: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.received: list[Received] = []
        self.conversations: list[Conversation] = []
        self.host = host
        self.port = port
        self.script = {
            stage: list(answers) if isinstance(answers, list) else answers for stage, answers in (script or {}).items()
        }
        self._ehlo = ehlo
        self._tls = tls
        self._implicit = implicit
        self._piecemeal = piecemeal
        self._cut_after = cut_after
        self.window = window or 1 << 16
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[str]:
        """Every command of every connection."""
        return [command for talk in self.conversations for command in talk.commands]

    @property
    def dots(self) -> int:
        """How many ends of data were seen that were for somebody."""
        return sum(talk.dots for talk in self.conversations)

    async def hang_up(self) -> None:
        """Every connection is cut."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def __aenter__(self) -> Self:
        context = self._tls if self._implicit else None
        # asyncio switches Nagle's algorithm off only where the protocol is given: each write is a segment of its own
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.window < 1 << 16:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
        listening.bind((self.host, self.port))
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listening, ssl=context, limit=self.window)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        await self.hang_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        talk = Conversation(len(self.conversations), has_tls=self._implicit)
        self.conversations.append(talk)
        connection = _Connection(self, reader, writer, talk)
        try:
            await connection.converse()
        except (_Hangup, OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            if task is not None:
                self._tasks.discard(task)

    def answer(self, stage: str, talk: Conversation) -> Answer:
        """The scripted answer, else the polite one."""
        answers = self.script.get(stage)
        if isinstance(answers, list):
            scripted: Scripted = answers.pop(0) if answers else None
        else:
            scripted = answers
        if callable(scripted):
            scripted = scripted(talk)
        if scripted is None:
            scripted = self.polite(stage)
        return scripted

    def polite(self, stage: str) -> bytes:
        """What a server says that has nothing against it."""
        return self._ehlo if stage == "ehlo" else _POLITE[stage]


class _Connection:
    def __init__(
        self,
        server: ScriptedServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        talk: Conversation,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._talk = talk
        self._rest = b""

    async def converse(self) -> None:
        await self._say("greeting")
        while True:
            command = (await self._until(b"\r\n")).decode()
            self._talk.commands.append(command)
            stage = _STAGES.get(command[:8].split(" ")[0].upper(), "other")
            await getattr(self, f"_{stage}", self._plain)(stage, command)

    async def _plain(self, stage: str, command: str) -> None:
        await self._say(stage)

    async def _starttls(self, stage: str, command: str) -> None:
        if (await self._say(stage))[:1] == b"2" and self._server._tls is not None:
            await self._writer.start_tls(self._server._tls)
            self._talk.has_tls = True

    async def _auth(self, stage: str, command: str) -> None:
        reply = await self._say(stage)
        while reply[:1] == b"3":
            self._talk.commands.append((await self._until(b"\r\n")).decode())
            reply = await self._say(stage)

    async def _mail(self, stage: str, command: str) -> None:
        if self._talk.mail_from is not None:
            await self._write(b"503 5.5.1 nested MAIL")
        elif (await self._say(stage))[:1] == b"2":
            self._talk.mail_from = command

    async def _recipient(self, stage: str, command: str) -> None:
        if self._talk.mail_from is None:
            await self._write(b"503 5.5.1 MAIL first")
        elif (await self._say(stage))[:1] == b"2":
            self._talk.recipients.append(command)

    async def _data(self, stage: str, command: str) -> None:
        if not self._talk.recipients and stage not in self._server.script:
            await self._write(b"554 5.5.1 no valid recipients")
        elif (await self._say(stage))[:1] == b"3":
            await self._content()

    async def _rset(self, stage: str, command: str) -> None:
        self._forget()
        await self._say(stage)

    async def _quit(self, stage: str, command: str) -> None:
        await self._say(stage)
        raise _Hangup

    async def _content(self) -> None:
        if self._server.script.get("body"):
            await self._say("body")
        content = await self._until_dot()
        self._talk.dots += bool(self._talk.recipients)
        taken = Received(self._talk.mail_from or "", tuple(self._talk.recipients), content)
        self._forget()
        reply = await self._chosen("end")
        if isinstance(reply, bytes) and reply[:1] == b"2" and taken.recipients:
            self._server.received.append(taken)
        await self._do(reply)

    def _forget(self) -> None:
        self._talk.mail_from = None
        self._talk.recipients.clear()

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            chunk = await self._reader.read(self._server.window)
            if not chunk:
                raise _Hangup
            self._talk.chunks.append(chunk)
            if self._server._cut_after is not None and self._talk.octet_count > self._server._cut_after:
                await self._cut()
            self._rest += chunk
        before, _, self._rest = self._rest.partition(mark)
        return before

    async def _cut(self) -> None:
        if "early" in self._server.script:
            await self._say("early")
            while await self._reader.read(1 << 16):
                pass
        raise _Hangup

    async def _until_dot(self) -> bytes:
        lines = []
        while (line := await self._until(b"\r\n")) != b".":
            lines.append(line.removeprefix(b"."))
        return b"".join(line + b"\r\n" for line in lines)

    async def _say(self, stage: str) -> bytes:
        return await self._do(await self._chosen(stage))

    async def _chosen(self, stage: str) -> Answer:
        answer = self._server.answer(stage, self._talk)
        if isinstance(answer, Late):
            await asyncio.sleep(answer.seconds)
            answer = self._server.polite(stage)
        return answer

    async def _do(self, answer: Answer) -> bytes:
        if answer is DROP:
            raise _Hangup
        if answer is STALL:
            await asyncio.Event().wait()
        if isinstance(answer, After):
            await answer.event.wait()
            answer = answer.reply
        if isinstance(answer, bytes):
            await self._write(answer)
            return answer
        raise TypeError(f"not an answer: {answer!r}")

    async def _write(self, reply: bytes) -> None:
        octets = reply + b"\r\n"
        for piece in [octets[at : at + 1] for at in range(len(octets))] if self._server._piecemeal else [octets]:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)


class Gate:
    """A hand-over that lets everything go but `refused`, and checks the pool's promises while it records.

    With a `server`, a call takes several turns of the event loop, and no dot may arrive in the meantime that was
    not let through before.
    """

    def __init__(self, refused: Collection[int] = (), *, server: ScriptedServer | None = None) -> None:
        self.calls: list[tuple[list[tuple[int, Outcome]], list[int]]] = []
        self.refused = frozenset(refused)
        self.let_through: set[int] = set()
        self._server = server
        self._is_busy = False

    async def __call__(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
        assert not self._is_busy, "two calls at a time"
        assert not set(ids) & set(self.handed_over), "an id was handed over twice"
        self.calls.append((list(answered), list(ids)))
        self._is_busy = True
        await self.decide(list(ids))
        self._is_busy = False
        self.let_through |= set(ids) - self.refused
        return [message_id for message_id in ids if message_id not in self.refused]

    async def decide(self, ids: list[int]) -> None:
        """What happens while the call is under way."""
        for _ in range(20 if self._server is not None else 1):
            await asyncio.sleep(0)
            assert self._server is None or self._server.dots <= len(self.let_through), "a dot before its hand-over"

    @property
    def handed_over(self) -> list[int]:
        """The ids in the order of their windows."""
        return [message_id for _, window in self.calls for message_id in window]

    @property
    def outcomes(self) -> dict[int, Outcome]:
        """What was reported; no id may be reported twice."""
        reported = [pair for answered, _ in self.calls for pair in answered]
        assert len(reported) == len(dict(reported)), "an answer was reported twice"
        return dict(reported)

    @property
    def states(self) -> dict[int, OutcomeState]:
        """The states that were reported."""
        return {message_id: outcome.state for message_id, outcome in self.outcomes.items()}


CONTENT = b"Subject: Offers\r\n\r\nHello\r\n"


def make_outgoing(number: int, **values: object) -> Outgoing:
    """A message from the shop to customer `number`."""
    defaults: dict[str, object] = {
        "id": number, "mail_from": "offers@paper.example", "recipient": f"c{number}@customers.example",
        "content": CONTENT,
    }  # fmt: skip
    return Outgoing(**(defaults | values))  # type: ignore[arg-type]


async def deliver(
    server: ScriptedServer,
    messages: int | Iterable[Outgoing],
    *,
    gate: Gate | None = None,
    ssl_context: ssl.SSLContext | None = None,
    **endpoint: object,
) -> Gate:
    """One delivery of `messages` (or that many) over a pool of its own."""
    gate = Gate() if gate is None else gate
    settings: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "connections": 1}
    pool = SmtpPool(Endpoint(**(settings | endpoint)), ssl_context=ssl_context)  # type: ignore[arg-type]
    if isinstance(messages, int):
        messages = [make_outgoing(number) for number in range(1, messages + 1)]
    try:
        await pool.deliver(messages, gate)
    finally:
        await pool.close()
    return gate
