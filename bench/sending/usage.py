"""What groups of processes have used, read from /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment. `reaped_s` is the CPU of children that ended."""

    pid: int
    parent: int
    cpu_s: float
    reaped_s: float

    @classmethod
    def read(cls, pid: int) -> "Process | None":
        """The process; None: there is none by now."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        own, system, child_own, child_system = (int(field) * _TICK_S for field in fields[11:15])
        return cls(pid, int(fields[1]), own + system, child_own + child_system)


def family(root: int) -> list[Process]:
    """The process and all its living descendants, the root first."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    everybody = {pid: found for pid in pids if (found := Process.read(pid))}
    children: dict[int, list[int]] = {}
    for process in everybody.values():
        children.setdefault(process.parent, []).append(process.pid)
    members: list[Process] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop(0)
        if pid in everybody:
            members.append(everybody[pid])
            waiting += children.get(pid, [])
    return members


def cpu_s(root: int) -> float:
    """The CPU seconds of the process and of all its descendants, ended ones included."""
    return sum(process.cpu_s + process.reaped_s for process in family(root))


def cpu_by_group(groups: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds by name of the group, given the process id of each group's root."""
    return {name: cpu_s(root) for name, root in groups.items()}


def peak_mb(pid: int) -> float:
    """The most memory the process ever had resident, in MB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
