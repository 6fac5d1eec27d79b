"""What a worker process does: it sends a batch, attends to what came back, or calls other systems."""

import gc
import logging
import os
import socket
from collections.abc import Callable
from multiprocessing import RawValue
from typing import Any, Final

from celery import Celery, signals

from campaigns.attending import attend_to
from campaigns.sending import Courier, Sent
from campaigns.sequences.calling import Pauses, make_calls
from core.clock import SystemClock
from core.database import Database, open_database
from core.fresh_settings import FreshWorkspace
from core.workspace import Workspace
from workers.celery_app import ATTEND, CALL, SEND_BATCH

_log = logging.getLogger("clarion.worker")
#: New objects between two looks for those that refer to each other: a message makes hundreds, and hardly one such.
#: Python looks after 700 of them, which took a tenth of a worker's time.
_OBJECTS_UNLOOKED: Final = 20_000


class Station:
    """The one courier of this process, made after the fork: connections are never shared between processes."""

    def __init__(self, workspace: Workspace, is_stopping: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._fresh = FreshWorkspace(workspace)
        self._is_stopping = is_stopping
        self._courier: Courier | None = None

    def open(self, **_: Any) -> None:
        """The courier is there, with a database connection of this process alone."""
        gc.freeze()  # modules stay for good: looking through them frees nothing
        gc.set_threshold(_OBJECTS_UNLOOKED)
        self._courier = self._courier_on(open_database(self._workspace, "worker"))

    @property
    def courier(self) -> Courier:
        """The courier, with the settings of the file as it stands now; connections of other settings are closed."""
        if self._courier is None:
            self.open()
        assert self._courier is not None  # noqa: S101  open() made it
        if self._fresh.renew():
            self._courier.close()
            self._courier = self._courier_on(self._courier.database)
        return self._courier

    def send(self, batch_id: int) -> Sent | None:
        """As `Courier.send_batch`. Repeat: safe."""
        return self.courier.send_batch(batch_id)

    def _courier_on(self, database: Database) -> Courier:
        name = f"{socket.gethostname()}:{os.getpid()}"
        return Courier(self._fresh.current, database, SystemClock(), name, self._is_stopping)

    def close(self, **_: Any) -> None:
        """Connections are closed politely."""
        if self._courier is not None:
            self._courier.close()
            self._courier.database.dispose()


def register(app: Celery, workspace: Workspace) -> None:
    """The application knows its tasks, and each of its processes opens and closes its own station."""
    stopping = RawValue("b", 0)  # shared with the processes forked from this one; has no lock, a signal sets it
    station = Station(workspace, lambda: bool(stopping.value))

    @app.task(name=SEND_BATCH, shared=False)  # type: ignore[untyped-decorator]
    def send_batch(batch_id: int) -> None:
        """The batch is sent, or was somebody else's. Repeat: safe."""
        sent = station.send(batch_id)
        if sent is not None:
            _log.info("batch %d: %d messages, %d not rendered", sent.batch_id, sent.messages, sent.render_failed)

    @app.task(name=ATTEND, shared=False)  # type: ignore[untyped-decorator]
    def attend(looks: bool = False) -> None:
        """What came back has had its consequences, and notices to the staff are under way. Repeat: safe."""
        attended = station.courier
        attend_to(attended.workspace, attended.database, attended.clock, looks=looks)

    pauses = Pauses()  # each process learns for itself who does not answer

    @app.task(name=CALL, shared=False)  # type: ignore[untyped-decorator]
    def call() -> None:
        """Calls of other systems that were due were made. Repeat: safe."""
        calling = station.courier
        make_calls(calling.workspace, calling.database, calling.clock, pauses)

    signals.worker_shutting_down.connect(lambda **_: setattr(stopping, "value", 1), weak=False)
    signals.worker_process_init.connect(station.open, weak=False)
    signals.worker_process_shutdown.connect(station.close, weak=False)
