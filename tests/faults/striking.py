"""Strikes against a workspace that `clarion up` runs."""

import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import redis

from core import embedded
from core.embedded import postgres
from core.workspace import Workspace
from tests.processes import wait_for
from workers import up_record


@dataclass
class Strikes:
    """What was done, in order, and by how many messages the mail server had by then."""

    workspace: Workspace
    dice: random.Random
    done: list[tuple[int, str]] = field(default_factory=list)

    def kill_child(self, taken: int) -> None:
        """One process that sends is gone; Celery's parent starts another."""
        wait_for(lambda: bool(self._children()), "a worker process to kill")
        os.kill(self.dice.choice(self._children()), signal.SIGKILL)
        self.done.append((taken, "kill -9 child"))

    def kill_parent(self, taken: int) -> None:
        """The worker's parent is gone; the supervisor starts another, its children end by themselves."""
        wait_for(lambda: self._pid("worker") is not None, "a worker to kill")
        os.kill(self._pid("worker") or 0, signal.SIGKILL)
        self.done.append((taken, "kill -9 parent"))

    def kill_all(self, taken: int) -> None:
        """The worker with all its children is gone, as when its machine dies."""
        wait_for(lambda: self._pid("worker") is not None, "a worker to kill")
        os.killpg(self._pid("worker") or 0, signal.SIGKILL)
        self.done.append((taken, "kill -9 whole worker"))

    def kill_scheduler(self, taken: int) -> None:
        """The leading scheduler is gone; the supervisor starts another."""
        wait_for(lambda: self._pid("scheduler") is not None, "a scheduler to kill")
        os.kill(self._pid("scheduler") or 0, signal.SIGKILL)
        self.done.append((taken, "kill -9 scheduler"))

    def crash_postgres(self, taken: int) -> None:
        """PostgreSQL ends as by a power cut, its open transactions lost, and is started again."""
        pid = postgres.process(embedded.places(self.workspace))
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)  # immediate shutdown: it recovers from its log at the next start
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "PostgreSQL to end")
        embedded.ensure_postgres(self.workspace)
        self.done.append((taken, "PostgreSQL crash"))

    def flush_valkey(self, taken: int) -> None:
        """The broker has forgotten everything."""
        redis.Redis.from_url(embedded.broker_url(self.workspace)).flushall()
        self.done.append((taken, "Valkey FLUSHALL"))

    def _pid(self, name: str) -> int | None:
        found = up_record.running(self.workspace).get(name)
        return found.pid if found else None

    def _children(self) -> list[int]:
        parent = self._pid("worker")
        if parent is None:
            return []
        try:
            return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:
            return []
