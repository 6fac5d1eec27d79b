"""When messages reached the sink, by what its process has read: the same yardstick for every sender."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_EVERY_S: Final = 0.01

#: A moment on the clock, and how many bytes the process had read by then.
Reading = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the sink took of one sender."""

    messages: int
    message_bytes: float  # of the SMTP dialogue around it too
    took_s: float  # from the first message to the last

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.messages / self.took_s

    @classmethod
    def of(cls, readings: Sequence[Reading], messages: int) -> "Traffic":
        """What `readings` tell of so many messages.

        Less than half a message before the first or after the last does not count: connections are closed then.
        """
        begin, end = readings[0][1], readings[-1][1]
        size = (end - begin) / messages
        first = next(at for at, read in readings if read >= begin + size)
        last = next(at for at, read in readings if read >= end - size / 2)
        return cls(messages, size, last - first)


@contextlib.contextmanager
def watched(pid: int) -> Iterator[list[Reading]]:
    """The readings of the block, one every 10 ms, complete when it has ended."""
    readings = [_reading(pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(_EVERY_S):
            readings.append(_reading(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield readings
    finally:
        over.set()
        looking.join()
    readings.append(_reading(pid))


def _reading(pid: int) -> Reading:
    """Linux counts what a process reads from sockets as well."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return time.perf_counter(), next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))
