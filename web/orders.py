"""Mail that the pages owe: ordered from the transactional campaigns that clarion.yaml names."""

import logging
import threading
import time
from typing import Final

from campaigns import catalogue, transactional
from campaigns.transactional import Standing
from core.database import Database
from core.errors import ConfigError, EngineError
from core.workspace import Workspace

#: Campaign files that were changed count from then on. Reading all files takes a tenth of a second.
_FRESH_S: Final = 60.0
_log = logging.getLogger("clarion.web")


class Orders:
    """The campaigns of one workspace that take orders, each as its files said at most a minute ago."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self._workspace, self._database = workspace, database
        self._kept: dict[str, tuple[float, Standing]] = {}
        self._lock = threading.Lock()

    def standing(self, campaign: str) -> Standing:
        """The campaign, ready for `campaigns.transactional.post`; stored in a transaction of its own.

        While the files have mistakes the campaign stays as it was. To be asked for before it is known whether anything
        will be ordered, so that its time tells nothing (S-9.9).

        Raises:
            EngineError: the campaign is not there, or cannot be sent.
        """
        with self._lock:
            kept = self._kept.get(campaign)
        if kept is not None and time.monotonic() - kept[0] < _FRESH_S:
            return kept[1]
        try:
            found = self._read(campaign)
        except ConfigError as error:
            if kept is None:
                raise
            _log.error("files were changed and have mistakes; %s stays as it was: %s", campaign, error)
            found = kept[1]
        with self._lock:
            self._kept[campaign] = time.monotonic(), found
        return found

    def ready(self, campaign: str | None) -> Standing | None:
        """The same where one is named; None also when it cannot be sent, which is logged: what it goes with counts."""
        try:
            return self.standing(campaign) if campaign is not None else None
        except EngineError as error:
            _log.error("%s cannot be sent: %s", campaign, error)
            return None

    def _read(self, campaign: str) -> Standing:
        files = catalogue.load(Workspace(self._workspace.root))
        with self._database.begin() as connection:
            return transactional.standing(connection, files, campaign)
