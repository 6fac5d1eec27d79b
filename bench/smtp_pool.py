"""The SMTP pool against the C load generator `smtp-source`, both into the C sink `smtp-sink` (Debian: postfix).

    python bench/smtp_pool.py [--tools FOLDER] [--count 20000] [--size 6000] [--commit-ms 0]

`--tools` (or $CLARION_BENCH_TOOLS) is where the two programs lie; their libraries are looked for beside them, so an
unpacked package (`apt-get download postfix && dpkg -x postfix*.deb FOLDER`) is enough.
"""

import argparse
import asyncio
import resource
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.sending.rivals import Load, smtp_source
from bench.sending.tools import Tools, sink
from delivery.smtp import Endpoint, Outcome, OutcomeState, Outgoing, SmtpPool


@dataclass
class Gate:
    """A hand-over that takes `commit_s` seconds, as a database would, and counts what it is told."""

    commit_s: float
    windows: list[int] = field(default_factory=list)
    accepted_count: int = 0

    async def __call__(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
        self.accepted_count += sum(outcome.state is OutcomeState.ACCEPTED for _, outcome in answered)
        self.windows.append(len(ids))
        if self.commit_s:
            await asyncio.sleep(self.commit_s)
        return ids


def messages(count: int, size: int) -> Iterator[Outgoing]:
    """Constant messages: what is measured is the pool."""
    line = b"x" * 76 + b"\r\n"
    content = b"From: a@paper.example\r\nSubject: bench\r\n\r\n" + line * (size // len(line))
    for number in range(count):
        yield Outgoing(number, "a@paper.example", f"c{number}@customers.example", content)


async def run_pool(port: int, arguments: argparse.Namespace) -> None:
    """The pool's messages per second, CPU per message and mean window are printed."""
    gate = Gate(arguments.commit_ms / 1000)
    pool = SmtpPool(Endpoint("127.0.0.1", port, connections=arguments.connections, messages_per_connection=10**9))
    await pool.deliver(messages(200, arguments.size), Gate(0))
    cpu, started = _cpu_s(), time.perf_counter()
    await pool.deliver(messages(arguments.count, arguments.size), gate)
    took, cpu = time.perf_counter() - started, _cpu_s() - cpu
    await pool.close()
    assert gate.accepted_count == arguments.count
    sent = [window for window in gate.windows if window]
    print(
        f"pool           {arguments.count / took:8.0f} messages/s  {cpu / arguments.count * 1e6:5.1f} µs CPU each"
        f"  mean window {sum(sent) / len(sent):.1f}"
    )


def run_source(port: int, arguments: argparse.Namespace, tools: Tools) -> None:
    """The messages per second of smtp-source are printed: as it comes, and keeping its connections."""
    load = Load(port, arguments.connections, arguments.size)
    for options in ((), ("-d",)):
        done = smtp_source(tools, load, arguments.count, *options)
        print(f"{' '.join(('smtp-source', *options)):<14} {done.per_s:6.0f} messages/s")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Both run three times, alternately, into one sink."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--commit-ms", type=float, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tools = Tools.find(arguments.tools)
    with sink(tools) as here:
        for _ in range(arguments.rounds):
            run_source(here.port, arguments, tools)
            uvloop.run(run_pool(here.port, arguments))


if __name__ == "__main__":
    main()
