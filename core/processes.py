"""Telling one process of the machine from another: a process id alone is given out again."""

import subprocess
import sys
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_HAS_PROC: Final = (_PROC / "self").exists()


def command_line(pid: int) -> str:
    """What the process was started as, its arguments joined by spaces; empty when it has ended."""
    if not _HAS_PROC:
        return _ps(pid, "command")
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def started_at(pid: int) -> str:
    """A text that, with the process id, means this process and no later one; empty when it has ended."""
    if not _HAS_PROC:
        return _ps(pid, "lstart")
    try:
        # The program's name, in parentheses, may hold spaces: fields are counted behind it.
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    # Counted in ticks from the start of the machine, so it takes both.
    return "" if state in "ZX" else f"{fields[18]} {(_PROC / 'sys/kernel/random/boot_id').read_text().strip()}"


def _ps(pid: int, column: str) -> str:
    """One column of the list of processes; empty when the process has ended, waited for or not."""
    command = ["ps", "-p", str(pid), "-o", "stat=", "-o", f"{column}="]
    state, _, value = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    return "" if state.startswith("Z") else value.strip()


def clarion_command(*arguments: str) -> list[str]:
    """The command line that runs `clarion` with this interpreter, from whatever folder.

    `-P` keeps the current folder off the module path: a workspace has folders called `templates` and `segments`, and
    Python would look for ours in there.
    """
    return [sys.executable, "-P", "-m", "cli", *arguments]
