"""Other senders into the same sink: the same size of message, the same number of connections, nothing personal."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.sending.tools import Tools
from tests.processes import REPOSITORY


@dataclass(frozen=True, slots=True)
class Load:
    """What a rival sends: `messages` of `size` bytes over `connections` in all, from `processes` where it is ours."""

    port: int
    connections: int
    size: int
    processes: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What one rival did."""

    messages: int
    took_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.messages / self.took_s

    @property
    def cpu_us(self) -> float:
        """µs of CPU a message."""
        return self.cpu_s / self.messages * 1e6

    def __add__(self, other: "Result") -> "Result":
        """Both together, as if they had been one."""
        return Result(self.messages + other.messages, self.took_s + other.took_s, self.cpu_s + other.cpu_s)

    def figures(self) -> dict[str, Any]:
        """As the results file holds it."""
        each = {"messages_per_s": round(self.per_s, 1), "cpu_us_per_message": round(self.cpu_us, 1)}
        return {"messages": self.messages} | each


def smtp_source(tools: Tools, load: Load, messages: int, *options: str) -> Result:
    """Postfix's load generator in C. It makes a connection for every message; with `-d` it keeps them."""
    command = [
        tools.source, *options, "-s", str(load.connections), "-m", str(messages), "-l", str(load.size),
        f"127.0.0.1:{load.port}",
    ]  # fmt: skip
    return _measured(messages, lambda: subprocess.run(command, env=tools.environment, check=True) and None)


def python_client(kind: str, load: Load, messages: int) -> Result:
    """`smtplib` (threads) or `aiosmtplib` (uvloop) in processes of their own, their start not counted."""
    each, share = load.connections // load.processes, messages // load.processes
    command = [sys.executable, "-m", "bench.sending.python_clients", kind]
    arguments = [str(number) for number in (load.port, each, share, load.size)]
    processes = [
        subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        for _ in range(load.processes)
    ]
    for process in processes:
        _expect(process, "ready")

    def go() -> None:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _expect(process, "done")
            process.communicate()

    return _measured(share * load.processes, go)


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != word:
        raise SystemExit(f"a rival failed: its last word was not {word!r}")


def _measured(messages: int, go: Callable[[], object]) -> Result:
    """CPU is that of the children that ended meanwhile: with what they used before the start, so a little too much."""
    before, begun = _children_cpu_s(), time.perf_counter()
    go()
    return Result(messages, time.perf_counter() - begun, _children_cpu_s() - before)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


#: How many messages each rival sends a round: a few seconds' worth.
MESSAGES: Final = {"smtp-source": 12_000, "smtp-source -d": 20_000, "smtplib": 5_000, "aiosmtplib": 5_000}


def run(name: str, tools: Tools, load: Load) -> Result:
    """One round of the rival called `name`, a key of MESSAGES."""
    if name.startswith("smtp-source"):
        return smtp_source(tools, load, MESSAGES[name], *name.split()[1:])
    return python_client(name, load, MESSAGES[name])
