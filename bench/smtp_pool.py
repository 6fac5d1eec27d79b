"""The SMTP pool against the C load generator `smtp-source`, both into the C sink `smtp-sink` (Debian: postfix).

    python bench/smtp_pool.py [--tools FOLDER] [--count 20000] [--size 6000] [--commit-ms 0]

`--tools` is where the two programs lie; their libraries are looked for beside them, so an unpacked package
(`apt-get download postfix && dpkg -x postfix*.deb FOLDER`) is enough.
"""

import argparse
import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

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
        f"pool         {arguments.count / took:8.0f} messages/s  {cpu / arguments.count * 1e6:5.1f} µs CPU each"
        f"  mean window {sum(sent) / len(sent):.1f}"
    )


def run_source(port: int, arguments: argparse.Namespace, source: str, environment: dict[str, str]) -> None:
    """The messages per second of smtp-source are printed."""
    command = [
        source,
        "-s",
        str(arguments.connections),
        "-m",
        str(arguments.count),
        "-l",
        str(arguments.size),
    ]
    started = time.perf_counter()
    subprocess.run([*command, f"127.0.0.1:{port}"], env=environment, check=True)
    print(f"smtp-source  {arguments.count / (time.perf_counter() - started):8.0f} messages/s")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    sys.exit("smtp-sink did not start")


def _tool(name: str, folder: Path | None) -> str:
    found = next(iter(folder.rglob(name)), None) if folder else shutil.which(name)
    if found is None:
        sys.exit(f"{name} not found: install Debian's postfix, or name the folder it was unpacked to by --tools")
    return str(found)


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
    environment = dict(os.environ)
    if arguments.tools:
        environment["LD_LIBRARY_PATH"] = ":".join(
            {str(library.parent) for library in arguments.tools.rglob("lib*.so*")}
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(
        [_tool("smtp-sink", arguments.tools), *as_user, "-c", f"127.0.0.1:{port}", "500"],
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        for _ in range(arguments.rounds):
            run_source(port, arguments, _tool("smtp-source", arguments.tools), environment)
            uvloop.run(run_pool(port, arguments))
    finally:
        sink.terminate()
        sink.wait()


if __name__ == "__main__":
    main()
