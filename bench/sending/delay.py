"""A TCP relay on loopback that adds a delay to each direction and limits nothing else.

    python -m bench.sending.delay PORT TARGET_PORT DELAY_MS

What is written through it waits for nobody: a connection's first flight of ten segments holds one message whole, so
a real link of that round trip would not slow it further either. `tc qdisc … netem` would do the same in the kernel,
where it is built in and one is root.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import uvloop

from tests.processes import REPOSITORY, answers, free_port


class _End(asyncio.Protocol):
    """One end of a connection: what it reads leaves the other end `delay_s` later, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is none by its class

    def data_received(self, received: bytes) -> None:
        self._add(received)

    def connection_lost(self, error: Exception | None) -> None:
        self._add(None)

    def _add(self, chunk: bytes | None) -> None:
        if not self._waiting:
            self._loop.call_later(self._delay_s, self._pass_on)
        self._waiting.append((self._loop.time() + self._delay_s, chunk))

    def _pass_on(self) -> None:
        """Everything whose time has come goes out; the timer has a resolution of a millisecond."""
        now = self._loop.time() + 0.0005
        while self._waiting and self._waiting[0][0] <= now:
            chunk = self._waiting.popleft()[1]
            self._hand(chunk)
        if self._waiting:
            self._loop.call_later(max(0.0, self._waiting[0][0] - now), self._pass_on)

    def _hand(self, chunk: bytes | None) -> None:
        there = self.other.transport if self.other is not None else None
        if there is None or there.is_closing():
            return
        if chunk is None:
            there.close()
        else:
            there.write(chunk)


class _Entrance(_End):
    """The end that clients connect to: it opens the other one."""

    def __init__(self, delay_s: float, target: int) -> None:
        super().__init__(delay_s)
        self._target = target
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        exit_ = _End(self._delay_s)
        exit_.other, self.other = self, exit_
        await self._loop.create_connection(lambda: exit_, "127.0.0.1", self._target)


async def serve(port: int, target: int, delay_s: float) -> None:
    """The relay listens on loopback until it is cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Entrance(delay_s, target), "127.0.0.1", port)
    await server.serve_forever()


@contextlib.contextmanager
def added(target: int, round_trip_ms: float) -> Iterator[int]:
    """The port of a relay to the `target` port, in a process of its own, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sending.delay", str(port), str(target), str(round_trip_ms / 2)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        while not answers(port):
            if process.poll() is not None:
                raise SystemExit("the delaying relay did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
