"""What files of the workspace say, read anew about once a minute."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from campaigns.events.files import EventSource, load_events
from core.errors import ConfigError
from core.workspace import Workspace

#: Files that were changed count from then on. Reading them takes a hundredth of a second and more.
FRESH_S: Final = 60.0
_log = logging.getLogger("clarion.web")

KeptT = TypeVar("KeptT")


class Kept(Generic[KeptT]):
    """What `read` returned at most a minute ago. While the files have mistakes it stays as it was."""

    def __init__(self, read: Callable[[], KeptT]) -> None:
        self._read = read
        self._kept: tuple[float, KeptT] | None = None
        self._lock = threading.Lock()

    def now(self) -> KeptT:
        """As the files say. To be called in a thread.

        Raises:
            ConfigError: they have mistakes, and were never read without.
        """
        with self._lock:
            kept = self._kept
            if kept is not None and time.monotonic() - kept[0] < FRESH_S:
                return kept[1]
            try:
                found = self._read()
            except ConfigError as error:
                if kept is None:
                    raise
                _log.error("files were changed and have mistakes; they count as they were: %s", error)
                found = kept[1]
            self._kept = (time.monotonic(), found)
            return found


def event_files(root: Path) -> Callable[[], Mapping[str, EventSource]]:
    """A reader of the event files below `root`; one that has mistakes now stays as it was read last without any."""
    good: dict[str, EventSource] = {}

    def read() -> Mapping[str, EventSource]:
        found, _ = load_events(Workspace(root))
        good.update({name: source for name, source in found.items() if source.definition is not None})
        return {name: good.get(name, source) for name, source in found.items()}

    return read
