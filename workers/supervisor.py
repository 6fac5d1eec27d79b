"""Everything on one machine: the processes of `clarion up`, kept running until told to stop."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ServiceError
from core.processes import clarion_command
from core.workspace import Workspace
from workers import up_record
from workers.up_record import SUPERVISOR, Started

_log = logging.getLogger("clarion.up")
PROCESSES: Final = ("worker", "scheduler", "web")
#: Runs besides where mails come in (`inbound` in clarion.yaml).
INBOUND: Final = "inbound"
#: A process that ends is started again after this, doubled each time up to the second figure.
_RESTART_S: Final = (0.5, 30.0)
#: A process that ran this long had a good start: its next restart waits the short time again.
_GOOD_RUN_S: Final = 60.0
#: The worker gets this long to answer for what it handed over.
_STOP_S: Final = 30.0


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    identity: Started
    begun: float  # by the monotonic clock
    wait: float = _RESTART_S[0]
    restart_at: float | None = None


def processes_of(workspace: Workspace) -> tuple[str, ...]:
    """What runs for the workspace, by its settings."""
    return (*PROCESSES, INBOUND) if workspace.settings.inbound.is_used else PROCESSES


def log_file(workspace: Workspace, process: str) -> Path:
    """What the process prints."""
    folder = workspace.state / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{process}.log"


def running_pid(workspace: Workspace) -> int | None:
    """The process id of the workspace's supervisor; None when none runs."""
    return up_record.supervisor(workspace)


def supervise(workspace: Workspace) -> None:
    """Worker, scheduler and web run until this process gets SIGTERM or SIGINT; one that ends is started again.

    Raises:
        AlreadyUp: another supervisor runs for this workspace.
    """
    with up_record.held(workspace), _signals() as asked_to_stop:
        me = Started.of(os.getpid())
        # By a supervisor that was killed; under names of their own, for nobody may take them for what is started here.
        left_over = {f"{name} {it.pid}": it for name, it in up_record.running(workspace).items()}
        up_record.write(workspace, left_over | {SUPERVISOR: me})
        _end(left_over)
        children: list[_Child] = []
        try:
            for name in processes_of(workspace):
                children.append(_start(workspace, name))
                _write(workspace, me, children)
            while not asked_to_stop:
                for child in children:
                    if _look_after(workspace, child):
                        _write(workspace, me, children)
                time.sleep(0.2)
        finally:
            _end({child.name: child.identity for child in children})
            for child in children:
                child.process.wait()
            up_record.write(workspace, {})


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


def _command(workspace: Workspace, process: str) -> list[str]:
    words = (process, "run") if process == INBOUND else (process,)
    return clarion_command("--workspace", str(workspace.root), *words)


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches the supervisor alone, which stops its children in order.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def _start(workspace: Workspace, name: str) -> _Child:
    process = _spawn(_command(workspace, name), log_file(workspace, name))
    return _Child(name, process, Started.of(process.pid), time.monotonic())


def _write(workspace: Workspace, me: Started, children: list[_Child]) -> None:
    up_record.write(workspace, {SUPERVISOR: me, **{child.name: child.identity for child in children}})


def _look_after(workspace: Workspace, child: _Child) -> bool:
    """A child that ended is started again when its time has come; True when it was."""
    code = child.process.poll()
    if code is None:
        return False
    moment = time.monotonic()
    if child.restart_at is None:
        child.wait = _RESTART_S[0] if moment - child.begun > _GOOD_RUN_S else min(child.wait * 2, _RESTART_S[1])
        child.restart_at = moment + child.wait
        _log.warning("%s ended with code %s; started again in %.1f s", child.name, code, child.wait)
    elif moment >= child.restart_at:
        fresh = _start(workspace, child.name)
        child.process, child.identity, child.begun, child.restart_at = fresh.process, fresh.identity, moment, None
        return True
    return False


def _end(processes: dict[str, Started]) -> None:
    names = {process: name for name, process in processes.items()}
    for process in up_record.end(names, _STOP_S):
        _log.warning("%s did not stop within %.0f s and was killed", names[process], _STOP_S)


@contextlib.contextmanager
def detached(workspace: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor runs in the background; it outlives the block, and this process."""
    process = _spawn([*_command(workspace, "up"), "--foreground"], log_file(workspace, SUPERVISOR))
    yield process
    process.returncode = 0  # nobody waits for it here, on purpose


def stop(workspace: Workspace) -> bool:
    """No supervisor of this workspace runs, nor anything one has started; False when nothing did."""
    pid = running_pid(workspace)
    if pid is None:
        return _end_left_over(workspace)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * _STOP_S + 5  # it may be ending another one's processes first
    while running_pid(workspace) == pid:
        if time.monotonic() > deadline:
            raise ServiceError(f"process {pid} does not stop", hint=f"look into {log_file(workspace, SUPERVISOR)}")
        time.sleep(0.05)
    return True


def _end_left_over(workspace: Workspace) -> bool:
    with up_record.held(workspace):
        left_over = up_record.running(workspace)
        _end(left_over)
        up_record.write(workspace, {})
    return bool(left_over)
