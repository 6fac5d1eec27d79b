"""Everything on one machine: the processes of `clarion up`, kept running until told to stop."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ServiceError
from core.workspace import Workspace

_log = logging.getLogger("clarion.up")
PROCESSES: Final = ("worker", "scheduler", "web")
#: A process that ends is started again after this, doubled each time up to the second figure.
_RESTART_S: Final = (0.5, 30.0)
#: A process that ran this long had a good start: its next restart waits the short time again.
_GOOD_RUN_S: Final = 60.0
_STOP_S: Final = 30.0


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float
    wait: float = _RESTART_S[0]
    restart_at: float | None = None


def pid_file(workspace: Workspace) -> Path:
    """Where the supervisor's process id is kept while it runs."""
    return workspace.state / "up.pid"


def log_file(workspace: Workspace, process: str) -> Path:
    """What the process prints."""
    folder = workspace.state / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{process}.log"


def running_pid(workspace: Workspace) -> int | None:
    """The process id of the workspace's supervisor; None when none runs."""
    try:
        pid = int(pid_file(workspace).read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _command(workspace: Workspace, process: str) -> list[str]:
    return [sys.executable, "-m", "cli", "--workspace", str(workspace.root), process]


def _start(workspace: Workspace, name: str) -> subprocess.Popen[bytes]:
    with log_file(workspace, name).open("ab") as output:
        # A session of its own: Ctrl-C reaches the supervisor alone, which stops its children in order.
        return subprocess.Popen(
            _command(workspace, name),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def supervise(workspace: Workspace) -> None:
    """Worker, scheduler and web run until this process gets SIGTERM or SIGINT; one that ends is started again.

    Raises:
        ServiceError: another supervisor runs for this workspace.
    """
    if (other := running_pid(workspace)) is not None and other != os.getpid():
        raise ServiceError(f"already up (process {other})", hint="stop it with `clarion down`")
    pid_file(workspace).write_text(str(os.getpid()))
    with _signals() as asked_to_stop:
        children = [_Child(name, _start(workspace, name), time.monotonic()) for name in PROCESSES]
        try:
            while not asked_to_stop:
                for child in children:
                    _look_after(workspace, child)
                time.sleep(0.2)
        finally:
            _stop(children)
            pid_file(workspace).unlink(missing_ok=True)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is empty until a signal to stop arrives."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda got, _frame: received.append(got))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_after(workspace: Workspace, child: _Child) -> None:
    code = child.process.poll()
    if code is None:
        return
    moment = time.monotonic()
    if child.restart_at is None:
        child.wait = _RESTART_S[0] if moment - child.started > _GOOD_RUN_S else min(child.wait * 2, _RESTART_S[1])
        child.restart_at = moment + child.wait
        _log.warning("%s ended with code %s; started again in %.1f s", child.name, code, child.wait)
    elif moment >= child.restart_at:
        child.process, child.started, child.restart_at = _start(workspace, child.name), moment, None


def _stop(children: list[_Child]) -> None:
    """Every child has ended: asked first, the worker gets time to answer for what it handed over, then killed."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.warning("%s did not stop within %.0f s and is killed", child.name, _STOP_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def detach(workspace: Workspace) -> int:
    """A supervisor runs in the background; its process id is returned."""
    with log_file(workspace, "up").open("ab") as output:
        process = subprocess.Popen(
            [*_command(workspace, "up"), "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # The supervisor outlives this command on purpose: nobody waits for it here.
    process.returncode = 0
    return process.pid


def stop(workspace: Workspace) -> bool:
    """No supervisor of this workspace runs, nor its children; False when none did."""
    pid = running_pid(workspace)
    if pid is None:
        pid_file(workspace).unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S + 5
    while running_pid(workspace) is not None:
        if time.monotonic() > deadline:
            raise ServiceError(f"process {pid} does not stop", hint=f"look into {log_file(workspace, 'up')}")
        time.sleep(0.05)
    return True
