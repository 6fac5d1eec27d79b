"""Clarion's own processes, started for a test and stopped with it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.workspace import Workspace

REPOSITORY = Path(__file__).parent.parent


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clarion(workspace: Workspace, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A `clarion` command typed in the workspace's folder; its exit code is `expect` (None: any)."""
    command = [sys.executable, "-P", "-m", "cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=workspace.root, timeout=300)
    assert expect is None or done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def clarion_json(workspace: Workspace, *arguments: str, expect: int | None = 0) -> Any:
    """The JSON document a `clarion` command prints."""
    return json.loads(clarion(workspace, *arguments, "--json", expect=expect).stdout)


@contextlib.contextmanager
def started(arguments: list[str], log: Path, *, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this interpreter that is ready; stopped, then killed, with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=output, stderr=output, cwd=REPOSITORY, start_new_session=True
        )
    try:
        wait_for(lambda: ready() or process.poll() is not None, f"{arguments} to be ready", log)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(happened: Callable[[], bool], what: str, log: Path | None = None, timeout_s: float = 60) -> None:
    """Comes back as soon as it happened; fails after the time."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}\n{log.read_text() if log else ''}"
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Something accepts connections on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def clarion_process(
    workspace: Workspace, name: str, *arguments: str, present: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`clarion worker` or `clarion scheduler`, connected to the database under the name `present`."""
    from campaigns.presence import present as here
    from core.database import Database

    database = Database(workspace.settings.database)

    def ready() -> bool:
        with database.begin() as connection:
            return present in here(connection)

    command = ["-m", "cli", "--workspace", str(workspace.root), name, *arguments]
    with started(command, workspace.root / f"{name}.log", ready=ready) as process:
        yield process
    database.dispose()
