"""Where the embedded services of a workspace live, and who may enter."""

import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ServiceError
from core.workspace import Workspace

SYSTEM_FOLDER = Path("/var/lib/clarion")
SYSTEM_USER = "clarion"
START_TIMEOUT_S: Final = 30.0
#: What the kernel takes as the path of a Unix socket, in bytes without the final zero (sys/un.h).
_LONGEST_SOCKET: Final = 107 if sys.platform == "linux" else 103


@dataclass(frozen=True, slots=True)
class Places:
    """Where one workspace's embedded services live."""

    base: Path  # the data, and the log files
    key: str  # tells the workspace from others on the machine
    new_sockets: Path  # where sockets go when nothing runs yet

    @property
    def _run(self) -> Path:
        """The folder of the sockets, or a link to it: whoever comes later, with another TMPDIR, finds them."""
        return self.base / "run"

    @property
    def sockets(self) -> Path:
        """Where the services listen: short, because a socket's path is."""
        return self._run.readlink() if self._run.is_symlink() else self.new_sockets

    @property
    def postgres(self) -> Path:
        return self.base / "postgres"

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def valkey_pid(self) -> Path:
        return self.base / "valkey.pid"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The folder of the data exists, and no other process starts or stops services meanwhile."""
        self._make_base()
        with open(self.base / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_base(self) -> None:
        if is_root():
            _ensure_system_user()
            for folder in (SYSTEM_FOLDER, SYSTEM_FOLDER / "workspaces"):
                folder.mkdir(mode=0o755, exist_ok=True)
        _make_private(self.base)

    def make_sockets(self) -> None:
        """The folder of the sockets exists, and only its owner may enter it. To be called while locked.

        Raises:
            ServiceError: its path is too long, or it is somebody else's.
        """
        if not self.sockets.is_dir():  # nothing can be reached there any more: begin anew
            self.forget_sockets()
        length = len(os.fsencode(self.postgres_socket))
        if length > _LONGEST_SOCKET:
            raise ServiceError(
                f"the path of a socket is too long (got {length} bytes, expected at most {_LONGEST_SOCKET}): "
                f"{self.postgres_socket}",
                hint="set TMPDIR to a shorter folder, such as /tmp",
            )
        _make_private(self.sockets)
        if self.sockets != self._run and not self._run.is_symlink():
            self._run.symlink_to(self.sockets)

    def forget_sockets(self) -> None:
        """Nothing is left in the folder of sockets, and the next start chooses it anew."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        if self._run.is_symlink():
            self._run.unlink()


def is_root() -> bool:
    return os.geteuid() == 0


def places(workspace: Workspace) -> Places:
    """The folders of the workspace's services; they need not exist yet."""
    key = workspace.name_hash
    if is_root():
        base = SYSTEM_FOLDER / "workspaces" / key
        return Places(base, key, base / "run")
    return Places(workspace.state / "services", key, Path(tempfile.gettempdir()) / f"clarion-{os.getuid()}-{key}")


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_root():
        shutil.chown(folder, SYSTEM_USER, SYSTEM_USER)
    elif folder.lstat().st_uid != os.getuid():
        raise ServiceError(f"{folder} belongs to somebody else", hint="remove it, or set TMPDIR")


def _ensure_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = [
            "useradd", "--system", "--user-group", "--home-dir", str(SYSTEM_FOLDER), "--no-create-home",
            "--shell", "/usr/sbin/nologin", SYSTEM_USER,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 9):  # 9: another process made it meanwhile
            raise ServiceError(f"the system user {SYSTEM_USER!r} cannot be made: {done.stderr.strip()}") from None


def listens(path: Path) -> bool:
    """Somebody listens on the Unix socket, too busy to answer perhaps."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(path))
    except (TimeoutError, BlockingIOError):
        return True
    except OSError:  # no such socket, nobody behind it, or a path no socket can have
        return False
    return True


def wait_for(happened: Callable[[], bool], what: str, log: Path) -> None:
    """It has happened.

    Raises:
        ServiceError: it did not in time; the hint holds the end of the log.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not happened():
        if time.monotonic() > deadline:
            raise ServiceError(f"waited {START_TIMEOUT_S:.0f} s for {what}", hint=log_end(log))
        time.sleep(0.02)


def log_end(log: Path) -> str:
    """The last lines of a server's log."""
    lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
    return "\n".join(["its log ends:", *lines])
