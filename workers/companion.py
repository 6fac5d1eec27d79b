"""Beside every `clarion worker` runs another one, with one process, that takes only what is owed to one person.

The processes that serve both queues may all be on trips with bulk mail, which last seconds when a mail server is slow:
a receipt must not wait for them. The two end together, however either of them ends.
"""

import os
import subprocess
import time
from typing import Any, Final

from celery import Celery, bootsteps, signals
from celery.worker import state

from core.processes import clarion_command
from core.workspace import Workspace
from workers.celery_app import TRANSACTIONAL

_LOOK_S: Final = 1.0
#: A companion that ends is started again, at most once in this time.
_AGAIN_S: Final = 3.0
#: It gets this long to answer for what it handed over; `clarion up` kills the whole group a little later.
_STOP_S: Final = 25.0


class Companion:
    """The process beside this one."""

    def __init__(self, workspace: Workspace) -> None:
        ours = ("worker", "--queue", TRANSACTIONAL, "--processes", "1", "--beside", str(os.getpid()))
        self._command = clarion_command("--workspace", str(workspace.root), *ours)
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        self._is_ending = False

    def look_after(self) -> None:
        """It runs, unless it was asked to end. Repeat: safe."""
        if self._is_ending or (self._process is not None and self._process.poll() is None):
            return
        if self._process is not None and time.monotonic() - self._begun < _AGAIN_S:
            return
        # In the process group of this worker: who kills the group kills both.
        self._process, self._begun = subprocess.Popen(self._command, stdin=subprocess.DEVNULL), time.monotonic()

    def ask_to_end(self, **_: Any) -> None:
        """It takes nothing new. Repeat: safe."""
        self._is_ending = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """It has ended. Repeat: safe."""
        self.ask_to_end()
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def accompany(app: Celery, workspace: Workspace) -> None:
    """The worker of this application has a companion from its start to its end."""
    companion = Companion(workspace)

    class Accompanied(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = {"celery.worker.components:Timer"}  # noqa: RUF012  as Celery names it

        def start(self, parent: Any) -> None:
            companion.look_after()
            parent.timer.call_repeatedly(_LOOK_S, companion.look_after)

        def stop(self, parent: Any) -> None:  # noqa: ARG002
            companion.end()

        terminate = stop

    app.steps["worker"].add(Accompanied)
    signals.worker_shutting_down.connect(companion.ask_to_end, weak=False)


def end_with(app: Celery, pid: int) -> None:
    """The worker of this application ends soon after its parent, the process `pid`, has."""

    def look() -> None:
        if os.getppid() != pid:
            state.should_stop = os.EX_OK

    class Beside(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = {"celery.worker.components:Timer"}  # noqa: RUF012  as Celery names it

        def start(self, parent: Any) -> None:
            parent.timer.call_repeatedly(_LOOK_S, look)

    app.steps["worker"].add(Beside)
