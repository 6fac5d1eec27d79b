"""A mail server in its own process that writes down what it takes and drops connections on purpose.

    python -m tests.faults.recording_server --log FILE --drop-every 500

Each line of the log is a JSON list: `["taken", Message-ID, recipient]`, written before the answer, or
`["dropped", how]`.
"""

import argparse
import asyncio
import enum
import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from demo.inbox import Session

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)


class Drop(enum.StrEnum):
    """How a connection is lost."""

    BEFORE_DOT = "before the dot"
    TAKEN = "after the dot, message taken, no answer"
    LOST = "after the dot, message lost, no answer"


class Log:
    """The file, and whose turn it is to be dropped."""

    def __init__(self, file: Path, drop_every: int) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._drop_every = drop_every
        self._begun = itertools.count(1)
        self._kinds = itertools.cycle(Drop)
        self.count = 0

    def doom(self) -> Drop | None:
        """What is to happen to the message that begins now."""
        if not self._drop_every or next(self._begun) % self._drop_every:
            return None
        kind = next(self._kinds)
        self._write("dropped", kind.value)
        return kind

    def add(self, mail_from: str, recipients: list[str], content: bytes) -> int:
        """The message is taken."""
        found = _MESSAGE_ID.search(content)
        assert found is not None, content[:1000]
        for recipient in recipients:
            self._write("taken", found[1].decode(), recipient)
        self.count += 1
        return self.count

    def _write(self, *words: str) -> None:
        os.write(self._file, json.dumps(words).encode() + b"\n")


class _Talk(Session):
    def __init__(self, log: Log) -> None:
        super().__init__(log)  # type: ignore[arg-type]  # a store of its own
        self._log = log
        self._doom: Drop | None = None

    def _data(self, nothing: bytes) -> None:
        self._doom = self._log.doom()
        if self._doom is Drop.BEFORE_DOT:
            self._hang_up()
        else:
            super()._data(nothing)

    def _keep(self, content: bytes) -> None:
        if self._doom is Drop.LOST:
            self._hang_up()
            return
        super()._keep(content)
        if self._doom is Drop.TAKEN:
            self._replies.pop()
            self._hang_up()

    def _hang_up(self) -> None:
        self._transport.write(b"".join(self._replies))
        self._replies.clear()
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Record:
    """What the log holds."""

    taken: list[tuple[str, str]]  # Message-ID and recipient, in order
    drops: dict[str, int]

    @property
    def recipients(self) -> list[str]:
        return [recipient for _, recipient in self.taken]


def read_log(file: Path) -> Record:
    """The log so far."""
    taken, drops = [], dict.fromkeys(map(str, Drop), 0)
    for kind, *words in _lines(file):
        if kind == "taken":
            taken.append((words[0], words[1]))
        else:
            drops[words[0]] += 1
    return Record(taken, drops)


def _lines(file: Path) -> Iterator[list[str]]:
    with file.open("rb") as lines:
        yield from (json.loads(line) for line in lines if line.endswith(b"\n"))


async def _serve(log: Log, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Talk(log), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A mail server that records and drops.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--drop-every", type=int, default=0)
    options = parser.parse_args()
    uvloop.run(_serve(Log(options.log, options.drop_every), options.port))


if __name__ == "__main__":
    main()
