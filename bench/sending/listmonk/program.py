"""The newsletter engine listmonk, a program of its own: found, installed into a database, and run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.processes import answers, free_port, wait_for

_WHERE: Final = "CLARION_BENCH_LISTMONK"
_MISSING: Final = f"""\
listmonk was not found{{where}}. It is free software under the AGPL, and Clarion's bench only runs it. Unpack a release
of https://github.com/knadh/listmonk, or build the program in its sources and leave it there:
    mkdir -p frontend/dist
    CGO_ENABLED=0 go build -ldflags "-s -w -X main.versionString=VERSION -X main.buildString=VERSION" -o listmonk ./cmd
then name it:
    make bench {_WHERE}=PATH      (or: --listmonk PATH)"""
_CONFIGURATION: Final = """\
[app]
address = "127.0.0.1:{port}"
[db]
host = "{sockets}"
port = 5432
user = "postgres"
database = "clarion"
ssl_mode = "disable"
max_open = 25
max_idle = 25
max_lifetime = "300s"
"""


@dataclass(frozen=True, slots=True)
class Program:
    """The executable file. Where nothing is packed into it, the files it needs lie beside it."""

    path: Path
    version: str

    @classmethod
    def find(cls, named: Path | None) -> "Program":
        """The program at this path, or where $CLARION_BENCH_LISTMONK says. Ends the program where there is none."""
        if named is None and _WHERE in os.environ:
            named = Path(os.environ[_WHERE])
        if named is None or not named.is_file() or not os.access(named, os.X_OK):
            sys.exit(_MISSING.format(where=f" at {named}" if named else ""))
        path = named.resolve()
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, cwd=path.parent)
        return cls(path, told.stdout.strip() or "of unknown version")


@dataclass(frozen=True, slots=True)
class Installation:
    """A program with a configuration of its own. `folder` holds that, and the log of the latest process."""

    program: Program
    folder: Path
    port: int

    @classmethod
    def into(cls, program: Program, folder: Path, sockets: Path) -> "Installation":
        """The tables are in the database of the server that listens in `sockets`."""
        here = cls(program, folder, free_port())
        configuration = _CONFIGURATION.format(port=here.port, sockets=sockets)
        here._configuration.write_text(configuration, encoding="utf-8")
        command = here._command("--install", "--idempotent", "--yes")
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=program.path.parent)
        if done.returncode:
            sys.exit(f"listmonk could not be installed:\n{done.stdout}{done.stderr}")
        return here

    @property
    def log(self) -> Path:
        return self.folder / "listmonk.log"

    @property
    def _configuration(self) -> Path:
        return self.folder / "config.toml"

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.program.path), "--config", str(self._configuration), *arguments]

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """The id of a process that is ready, and is stopped with the block."""
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                self._command(), stdout=output, stderr=output, cwd=self.program.path.parent, start_new_session=True
            )
        try:
            wait_for(lambda: answers(self.port) or process.poll() is not None, "listmonk", self.log)
            assert process.poll() is None, self.log.read_text()
            yield process.pid
        finally:
            process.terminate()
            process.wait()

    def failed(self, what: str) -> SystemExit:
        """To be raised: what went wrong, and the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return SystemExit("\n".join([*lines, f"listmonk: {what}"]))
