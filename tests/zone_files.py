"""A zone database of our own: its rules are what a test says, as after an update of the real one and a restart."""

import struct
import zoneinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from core import cron


def compiled(rule: str) -> bytes:
    """The file (RFC 9636) of a zone whose clocks follow a POSIX rule for ever, such as `CET-1CEST,M3.5.0,M10.5.0/3`."""
    block = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 0, 0, 0) + b"LMT\0"
    return block + block + f"\n{rule}\n".encode()


class ZoneFiles:
    """Zones whose rules were changed; the others are as they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def change(self, **rules: str) -> None:
        """Clocks in these zones go so, as a process knows that is started now: `change(Europe__Berlin="EET-2")`."""
        for name, rule in rules.items():
            path = self._folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(compiled(rule))
        self._read(str(self._folder))

    def forget(self) -> None:
        """The real rules hold again."""
        self._read(None)

    def _read(self, folder: str | None) -> None:
        zoneinfo.reset_tzpath(to=None if folder is None else [folder])
        ZoneInfo.clear_cache()
        cron._times.cache_clear()
