"""The README's tour works as written: each command is run, and each line shown after it comes out."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit status (\d+)$")
#: A run goes on in the background after `apply`: what is only looked at may be asked again until this passed.
_PATIENCE_S = 60.0


@dataclass
class Step:
    """One command of the tour, and what the README shows after it."""

    command: str
    status: int
    shown: list[str] = field(default_factory=list)


def tour() -> list[Step]:
    """The commands of all console blocks, in order."""
    steps: list[Step] = []
    for line in "".join(_BLOCK.findall(README.read_text(encoding="utf-8"))).splitlines():
        if line.startswith("$ "):
            given = _EXIT.search(line)
            steps.append(Step(_EXIT.sub("", line[2:]), int(given[1]) if given else 0))
        elif line.strip():
            steps[-1].shown.append(line)
    return steps


class Shell:
    """One bash that runs command after command, as a person's terminal does."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }
        environment.pop("CLARION_WORKSPACE", None)
        self._process = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command: str) -> tuple[int, list[str]]:
        """The exit status of `command`, and the lines it printed on both channels."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{command}\necho "@@ $?"\n')
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith("@@ "):
                return int(line[3:]), lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended in {command!r}: {lines}")

    def close(self) -> None:
        """The shell and what it started in the background have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("kill $(jobs -p) 2>/dev/null; wait\n")
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder; the tour's services are gone afterwards."""
    shell = Shell(tmp_path)
    yield shell
    shell.run(f"clarion --workspace {tmp_path / 'shop'} down --erase --yes")
    shell.close()


def _missing(shown: list[str], printed: list[str]) -> list[str]:
    """The shown lines that were not printed, in that order. `…` stands for anything, blanks count once."""
    patterns = [".*".join(map(re.escape, " ".join(line.split()).split("…"))) for line in shown]
    rest = iter(" ".join(line.split()) for line in printed)
    return [line for line, pattern in zip(shown, patterns, strict=True) if not any(re.search(pattern, r) for r in rest)]


def _take(shell: Shell, step: Step) -> None:
    """The step did what the README says."""
    deadline = time.monotonic() + (_PATIENCE_S if step.command.startswith("clarion status") else 0)
    while True:
        status, printed = shell.run(step.command)
        missing = _missing(step.shown, printed)
        if not missing and status == step.status:
            return
        if time.monotonic() > deadline:
            text = "\n".join(printed)
            raise AssertionError(f"$ {step.command}\n{text}\n(exit status {status}) lacks {missing}")


def test_readme_tour_works_as_written(shell):
    """
    Every command of the tour ends with the status it is shown with and prints the lines shown after it.
    """
    ports = {"2525": str(_free_port()), "8025": str(_free_port())}
    for step in tour():
        for usual, free in ports.items():
            step.command = step.command.replace(usual, free)
        _take(shell, step)
        if step.command == "cd shop":
            shell.run("; ".join(f"sed -i s/{usual}/{free}/g clarion.yaml" for usual, free in ports.items()))


def test_readme_opens_with_the_two_commands():
    """
    A newcomer sees `make demo` and `make test` before anything else.
    """
    lines = README.read_text(encoding="utf-8").splitlines()

    assert ["```sh", "make demo", "make test"] == [lines[0], *(line.split("  ")[0] for line in lines[1:3])]
