"""A mail server on loopback that keeps what it takes: `python -m demo.inbox --port 2525 --store FOLDER`.

Real SMTP with PIPELINING, 8BITMIME, SIZE and SMTPUTF8, so that what is sent to it was really sent. Mails are
appended to one file and each gets a line in an index, both before its 250 leaves; the kernel holds them then,
which a crash of this process cannot undo (a power cut can: nothing is fsynced). It is never a relay, and has
no TLS and no passwords, so it listens on loopback only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

MAX_SIZE: Final = 20_000_000
#: A command line may have 512 octets (RFC 5321), more with SMTPUTF8; a client that sends more is cut off.
_MAX_LINE: Final = 4096
_PATH = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>(.*)", re.IGNORECASE | re.DOTALL)
_EXTENSIONS: Final = (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE %d" % MAX_SIZE)


@dataclass(frozen=True, slots=True)
class Received:
    """One mail in the index. The content is `size` bytes at `offset` of the store's mails."""

    number: int
    received_at: datetime
    mail_from: str
    recipients: tuple[str, ...]
    offset: int
    size: int


class Store:
    """The folder a mail server writes to. Use as a context manager, or `close` it."""

    def __init__(self, folder: Path) -> None:
        """The folder exists; mails that are in it stay."""
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._mails = os.open(folder / "mails", flags, 0o600)
        self._index = os.open(folder / "index.jsonl", flags, 0o600)
        self._offset = os.fstat(self._mails).st_size
        self.count = sum(1 for _ in read_index(folder))

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, mail_from: str, recipients: list[str], content: bytes) -> int:
        """The mail and its line in the index are written; returns its number, from 1."""
        self.count += 1
        os.write(self._mails, content)
        line = {
            "number": self.count, "at": datetime.now(UTC).isoformat(), "from": mail_from, "to": recipients,
            "offset": self._offset, "size": len(content),
        }  # fmt: skip
        os.write(self._index, json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._offset += len(content)
        return self.count

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._mails)
        os.close(self._index)


def read_index(folder: Path, *, after: int = 0) -> Iterator[Received]:
    """The mails with numbers above `after`, in the order of their arrival. A line still being written is left out."""
    path = folder / "index.jsonl"
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n") and (line := json.loads(raw))["number"] > after:
                yield Received(
                    line["number"], datetime.fromisoformat(line["at"]), line["from"], tuple(line["to"]),
                    line["offset"], line["size"],
                )  # fmt: skip


def read_content(folder: Path, mail: Received) -> bytes:
    """The mail as it came over the wire, without the stuffed dots."""
    with (folder / "mails").open("rb") as file:
        file.seek(mail.offset)
        return file.read(mail.size)


class Session(asyncio.Protocol):
    """One client. Replies to everything that came in one piece leave in one piece."""

    def __init__(self, store: Store, gone: str = "") -> None:
        """`gone`: mailboxes that begin so do not exist (550 5.1.1); empty: every mailbox does."""
        self._store = store
        self._gone = gone
        self._buffer = bytearray()
        self._replies: list[bytes] = []
        self._mail_from: str | None = None
        self._recipients: list[str] = []
        self._searched: int | None = None  # of the content; None: a command is next
        self._verbs: dict[bytes, Callable[[bytes], None]] = {
            b"EHLO": self._ehlo, b"HELO": self._helo, b"MAIL": self._mail, b"RCPT": self._rcpt, b"DATA": self._data,
            b"RSET": self._rset, b"NOOP": self._noop, b"QUIT": self._quit,
        }  # fmt: skip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server greets first."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 inbox.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Whatever is complete is acted on; the rest waits for more."""
        self._buffer += data
        while self._take_command() if self._searched is None else self._take_content(self._searched):
            pass
        if self._replies:
            self._transport.write(b"".join(self._replies))
            self._replies.clear()
        if self._searched is None and len(self._buffer) > _MAX_LINE:
            self._transport.write(b"500 5.5.2 line too long\r\n")
            self._transport.close()

    def _reply(self, text: bytes) -> None:
        self._replies.append(text + b"\r\n")

    def _take_command(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0 or self._transport.is_closing():
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        verb, _, argument = line.partition(b" ")
        act = self._verbs.get(verb.upper())
        if act is None:
            self._reply(b"500 5.5.1 unknown command")
        else:
            act(argument)
        return True

    def _take_content(self, searched: int) -> bool:
        is_empty = self._buffer.startswith(b".\r\n")
        found = self._buffer.find(b"\r\n.\r\n", max(0, searched - 4))
        if found < 0 and not is_empty:
            self._searched = len(self._buffer)
            return False
        end = 0 if is_empty else found + 2
        content = bytes(self._buffer[:end])
        del self._buffer[: end + 3]
        self._searched = None
        self._keep(content)
        return True

    def _keep(self, content: bytes) -> None:
        content = (b"\r\n" + content).replace(b"\r\n..", b"\r\n.")[2:] if b".." in content else content
        if len(content) > MAX_SIZE:
            self._reply(b"552 5.3.4 message too large")
        else:
            number = self._store.add(self._mail_from or "", self._recipients, content)
            self._reply(b"250 2.0.0 kept as %d" % number)
        self._forget()

    def _forget(self) -> None:
        self._mail_from, self._recipients = None, []

    # --- commands -------------------------------------------------------------------------------------

    def _ehlo(self, _name: bytes) -> None:
        self._forget()
        for extension in (b"inbox.example", *_EXTENSIONS[:-1]):
            self._reply(b"250-" + extension)
        self._reply(b"250 " + _EXTENSIONS[-1])

    def _helo(self, _name: bytes) -> None:
        self._forget()
        self._reply(b"250 inbox.example")

    def _mail(self, argument: bytes) -> None:
        path = _PATH.fullmatch(argument)
        if path is None:
            return self._reply(b"501 5.5.4 expected FROM:<address>")
        if self._mail_from is not None:
            return self._reply(b"503 5.5.1 one at a time")
        size = re.search(rb"\bSIZE=(\d+)", path[2], re.IGNORECASE)
        if size and int(size[1]) > MAX_SIZE:
            return self._reply(b"552 5.3.4 message too large")
        self._mail_from = path[1].decode("utf-8", "replace")
        return self._reply(b"250 2.1.0 ok")

    def _rcpt(self, argument: bytes) -> None:
        path = _PATH.fullmatch(argument)
        if path is None:
            return self._reply(b"501 5.5.4 expected TO:<address>")
        if self._mail_from is None:
            return self._reply(b"503 5.5.1 MAIL first")
        recipient = path[1].decode("utf-8", "replace")
        if self._gone and recipient.lower().startswith(self._gone):
            return self._reply(b"550 5.1.1 no such mailbox here")
        self._recipients.append(recipient)
        return self._reply(b"250 2.1.5 ok")

    def _data(self, _nothing: bytes) -> None:
        if not self._recipients:
            return self._reply(b"554 5.5.1 no valid recipients")
        self._searched = 0
        return self._reply(b"354 end with a dot")

    def _rset(self, _nothing: bytes) -> None:
        self._forget()
        self._reply(b"250 2.0.0 ok")

    def _noop(self, _nothing: bytes) -> None:
        self._reply(b"250 2.0.0 ok")

    def _quit(self, _nothing: bytes) -> None:
        self._reply(b"221 2.0.0 bye")
        self._transport.write(b"".join(self._replies))
        self._replies.clear()
        self._transport.close()


async def serve(store: Store, port: int, *, gone: str = "", ready: Callable[[int], None] | None = None) -> None:
    """The server answers on 127.0.0.1 until this process gets SIGTERM or SIGINT; `ready` is told its port.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # a loop outside the main thread has none
            loop.add_signal_handler(number, stopping.set)
    server = await loop.create_server(lambda: Session(store, gone), "127.0.0.1", port, backlog=512)
    if ready is not None:
        ready(server.sockets[0].getsockname()[1])
    try:
        await stopping.wait()
    finally:
        server.close()


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m demo.inbox", description="A mail server that keeps what it takes.")
    parser.add_argument("--port", type=int, default=2525, help="0: any free one; it is printed")
    parser.add_argument("--store", type=Path, required=True, help="the folder mails are kept in")
    parser.add_argument("--gone", default="", help="mailboxes that begin so do not exist")
    options = parser.parse_args()
    with Store(options.store) as store, _runner() as runner:
        runner.run(serve(store, options.port, gone=options.gone, ready=lambda port: print(port, flush=True)))  # noqa: T201


if __name__ == "__main__":
    main()
