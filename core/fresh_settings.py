"""The settings as they stand now: who mends `clarion.yaml` does not start workers, scheduler and web again."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import ConfigError

if TYPE_CHECKING:
    from core.essentials import Essentials
    from core.workspace import Workspace

_log = logging.getLogger("clarion.settings")
_Print = tuple[int, int, int]


@dataclass
class FreshWorkspace:
    """The workspace with the newest settings that could be read. One look at the file costs some microseconds."""

    current: "Workspace"
    _seen: _Print | None = None  # None: the file may have changed since it was read, and is read once more
    _essentials: "Essentials" = field(init=False)  # what the process began with, and goes on with
    _token_secret: bytes = field(init=False)  # the same, wherever it comes from

    def __post_init__(self) -> None:
        self._essentials, self._token_secret = self.current.essentials, self.current.token_secret

    def renew(self) -> bool:
        """`current` has the settings of the file as it is now; True: they are others than at the last call.

        A file with mistakes is told once in the log, and the settings read before it stay in force.
        """
        found = self._print()
        if found is None or found == self._seen:  # None: an editor is just putting the new file in place
            return False
        self._seen = found  # taken before the file is read: a change in between is seen at the next call
        fresh = type(self.current)(self.current.root)
        try:
            is_new = fresh.settings != self.current.settings
        except ConfigError as error:
            _log.error("clarion.yaml was changed and has mistakes; the settings before it stay in force: %s", error)
            return False
        if is_new:
            self._tell(fresh)
            vars(fresh).update(essentials=self._essentials, token_secret=self._token_secret)
            self.current = fresh
        return is_new

    def _tell(self, fresh: "Workspace") -> None:
        before, after = self.current.settings, fresh.settings
        started_with = ("broker", *type(self._essentials).model_fields)
        if changed := [name for name in started_with if getattr(before, name) != getattr(after, name)]:
            _log.warning("`%s` of clarion.yaml counts from the next start of this process", "`, `".join(changed))
        _log.info("clarion.yaml was changed: its settings are in force from now on")

    def _print(self) -> _Print | None:
        try:
            found = (self.current.root / "clarion.yaml").stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
