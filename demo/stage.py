"""The demo's folder, its mail server, and the commands typed in it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from campaigns import starter
from core.commands import headline, remark
from core.errors import ServiceError, UsageError
from core.processes import clarion_command
from core.workspace import Workspace

#: In a folder that `clarion demo` made, and may therefore empty.
MARK: Final = ".clarion-demo"
_SOURCE: Final = Path(__file__).resolve().parents[1]


def copy_files(folder: Path) -> None:
    """`folder` holds the dealer's files, and the letters that `clarion init` makes, in the dealer's layout."""
    with as_file(files("demo") / "workspace") as source:
        shutil.copytree(source, folder, dirs_exist_ok=True)
    starter.copy_letters(folder / "templates")


@dataclass(frozen=True, slots=True)
class Stage:
    """The folder everything happens in."""

    root: Path

    @property
    def inbox(self) -> Path:
        """Where the mail server keeps mails."""
        return self.root / "inbox"

    @property
    def tables(self) -> Path:
        """Where the dealer's CSV files are."""
        return self.root / "data"

    @property
    def is_built(self) -> bool:
        """Whether a demo has been here."""
        return (self.root / MARK).exists()

    def clear(self) -> None:
        """The folder, its database and its services are gone. Repeat: safe.

        Raises:
            UsageError: the folder holds something that no demo put there.
        """
        self._check_ours()
        if self.is_built:
            self.run("down", "--erase", "--yes")
            shutil.rmtree(self.root)

    def build(self) -> None:
        """The folder holds the dealer's workspace, with ports that are free. What was edited since stays.

        Raises:
            UsageError: the folder holds something that no demo put there.
        """
        self._check_ours()
        is_new = not self.is_built
        if is_new:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / MARK).write_text("made by `clarion demo`, which may empty this folder\n", encoding="utf-8")
            copy_files(self.root)
        settings = self.root / "clarion.yaml"
        text = settings.read_text(encoding="utf-8")
        for port in (self.smtp_port, Workspace(self.root).settings.web.port):
            # The usual ports are not tried: two demos at a time would both find them free, and bind them later.
            free = str(free_port(0 if is_new else port))
            text = text.replace(f":{port}", f":{free}").replace(f": {port}", f": {free}")
        settings.write_text(text, encoding="utf-8")

    def _check_ours(self) -> None:
        if self.root.exists() and any(self.root.iterdir()) and not self.is_built:
            raise UsageError(f"{self.root} is not empty and no demo made it", hint="name another --folder")

    @property
    def smtp_port(self) -> int:
        """Where the workspace's first transport leads."""
        transport = next(iter(Workspace(self.root).settings.transports.values()))
        return urlsplit(transport.url).port or 25

    def typed(self, *arguments: str, accept: Sequence[int] = (0,)) -> None:
        """The command was echoed and run, its output shown below it.

        Raises:
            ServiceError: it ended with a code that is not in `accept`.
        """
        shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
        headline(f"$ clarion {shown}")
        begin = time.monotonic()
        code = self.run(*arguments, quiet=False)
        remark(f"  {time.monotonic() - begin:.1f} s", faint=True)
        if code not in accept:
            raise ServiceError(f"`clarion {shown}` ended with code {code}", hint=f"the folder is kept: {self.root}")

    def run(self, *arguments: str, quiet: bool = True) -> int:
        """The command was run in the folder; returns its exit code."""
        sys.stdout.flush()
        output = subprocess.DEVNULL if quiet else None
        command = clarion_command(*arguments)
        return subprocess.run(
            command, cwd=self.root, env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            check=False,
        ).returncode  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """This one's, with Clarion findable from another folder, and the folder as the workspace."""
        paths = [str(_SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CLARION_WORKSPACE": str(self.root)}

    @contextlib.contextmanager
    def mail_server(self, port: int, gone: str) -> Iterator[None]:
        """A mail server listens on `port` while the block runs.

        Raises:
            ServiceError: it cannot be started.
        """
        command = [
            sys.executable,
            "-P",
            "-m",
            "demo.inbox",
            "--port",
            str(port),
            "--store",
            str(self.inbox),
            "--gone",
            gone,
        ]
        with subprocess.Popen(
            command, cwd=self.root, env=self._environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                if process.stdout is None or not process.stdout.readline().strip():
                    raise ServiceError(f"the demo's mail server did not start on port {port}")
                yield
            finally:
                process.terminate()


def free_port(usual: int) -> int:
    """`usual` when nothing listens there on loopback, else (and for 0) a port that is free."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ServiceError("no port is free on 127.0.0.1")
