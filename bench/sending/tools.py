"""Debian's `smtp-sink` and `smtp-source`: where they are, and how they are started."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.processes import answers, free_port

_WHERE: Final = "CLARION_BENCH_TOOLS"
_MISSING: Final = f"""\
{{name}} was not found. It comes with Debian's postfix; installing is not needed, unpacking is enough:
    apt-get download postfix && dpkg -x postfix_*.deb FOLDER
    make bench {_WHERE}=FOLDER      (or: --tools FOLDER)"""


@dataclass(frozen=True, slots=True)
class Tools:
    """The two programs, and the environment they need."""

    sink: str
    source: str
    environment: dict[str, str]

    @classmethod
    def find(cls, folder: Path | None) -> "Tools":
        """Both, in `folder`, where $CLARION_BENCH_TOOLS says, or installed. Ends the program where one is missing."""
        if folder is None and _WHERE in os.environ:
            folder = Path(os.environ[_WHERE])
        environment = dict(os.environ)
        if folder is not None:
            places = sorted({str(library.parent) for library in folder.resolve().rglob("lib*.so*")})
            environment["LD_LIBRARY_PATH"] = ":".join(places)
        return cls(_program("smtp-sink", folder), _program("smtp-source", folder), environment)


def _program(name: str, folder: Path | None) -> str:
    if folder is None:
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        found = shutil.which(name, path=path)
    else:
        found = next((str(path.resolve()) for path in folder.rglob(name) if os.access(path, os.X_OK)), None)
    if found is None:
        sys.exit(_MISSING.format(name=name))
    return found


@dataclass(frozen=True, slots=True)
class Sink:
    """A running smtp-sink. It takes every message and throws it away."""

    port: int
    pid: int


@contextlib.contextmanager
def sink(tools: Tools) -> Iterator[Sink]:
    """smtp-sink listens on a free port of loopback until the block ends."""
    port = free_port()
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [tools.sink, *as_user, "-m", "1000", f"127.0.0.1:{port}", "1000"]
    process = subprocess.Popen(command, env=tools.environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("smtp-sink did not start")
            time.sleep(0.02)
        yield Sink(port, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.wait()
