"""Which processes `clarion up` started, kept in the workspace: none is started twice, none taken for another.

The lock is held by the process that starts and stops the others, and ends with it, however it ends. What is written
down may be older than that: a process counts only while it is the very one that was written down.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ServiceError
from core.processes import started_at
from core.workspace import Workspace

SUPERVISOR: Final = "up"
#: Longer than a look at the lock takes, or writing the record after taking it.
_MOMENT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """A process, not to be taken for a later one with the same id."""

    pid: int
    beginning: str

    @classmethod
    def of(cls, pid: int) -> "Started":
        return cls(pid, started_at(pid))

    @property
    def runs(self) -> bool:
        return self.beginning != "" and started_at(self.pid) == self.beginning


class AlreadyUp(ServiceError):
    """Another `clarion up` or `clarion down` is at work in this workspace."""


@contextlib.contextmanager
def held(workspace: Workspace) -> Iterator[None]:
    """This process alone starts and stops the workspace's processes.

    Raises:
        AlreadyUp: another one does.
    """
    deadline = time.monotonic() + _MOMENT_S
    with _lock_file(workspace).open("a") as file:
        while not _locked(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise AlreadyUp(hint="stop it with `clarion down`")
            time.sleep(0.02)
        yield


def supervisor(workspace: Workspace) -> int | None:
    """The process id of the one that holds the lock and wrote itself down; None when none does."""
    deadline = time.monotonic() + _MOMENT_S
    while _is_held(workspace) and time.monotonic() < deadline:
        if (found := running(workspace).get(SUPERVISOR)) is not None:
            return found.pid
        time.sleep(0.02)
    return None


def write(workspace: Workspace, processes: Mapping[str, Started]) -> None:
    """Exactly these processes are written down, by name."""
    draft = _file(workspace).with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({name: [it.pid, it.beginning] for name, it in processes.items()}), encoding="utf-8")
    draft.rename(_file(workspace))


def running(workspace: Workspace) -> dict[str, Started]:
    """The processes written down that still run, by name."""
    try:
        entries = json.loads(_file(workspace).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet; or emptied by a power cut, which ended them all
        return {}
    return {name: process for name, entry in entries.items() if (process := Started(*entry)).runs}


def end(processes: Collection[Started], patience_s: float) -> list[Started]:
    """None of them runs: asked first, killed with their groups after `patience_s`. The killed are returned."""
    for process in processes:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while (left := [process for process in processes if process.runs]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return left


def _send(process: Started, number: signal.Signals) -> None:
    if process.runs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _file(workspace: Workspace) -> Path:
    return workspace.state / "up.json"


def _lock_file(workspace: Workspace) -> Path:
    """Never removed: a lock on a file that is no longer there would hold nobody off."""
    return workspace.state / "up.lock"


def _is_held(workspace: Workspace) -> bool:
    with _lock_file(workspace).open("a") as file:
        return not _locked(file.fileno(), fcntl.LOCK_SH)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
