"""A broadcast under way through real worker processes, and the ways to strike at them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from celery import Celery
from sqlalchemy import insert, text

from core import schema
from core.clock import SystemClock
from core.database import Database, analyze
from core.workspace import Workspace
from tests.factories import LONG_AGO, key_of
from tests.processes import clarion, clarion_json, clarion_process, wait_for
from workers.celery_app import make_app
from workers.scheduler import Ticks

CAMPAIGN = "spring-paper"


def populate(database: Database, count: int) -> list[str]:
    """`count` customers who agreed; their addresses."""
    addresses = [f"p{number}@customers.example" for number in range(1, count + 1)]
    people = [
        {
            "id": number, "external_id": f"C{number}", "email": email, "address_key": key_of(email),
            "first_name": f"Name{number}",
        }
        for number, email in enumerate(addresses, 1)
    ]  # fmt: skip
    agreed = [
        {
            "customer_id": number, "topic": "promotions", "state": "granted", "basis": "consent", "source": "test",
            "captured_at": LONG_AGO,
        }
        for number in range(1, count + 1)
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.customer), people)
        connection.execute(insert(schema.consent), agreed)
        analyze(connection, "customer", "consent")
    return addresses


@dataclass
class Workplace:
    """A workspace whose campaign runs, with the test itself as its scheduler."""

    workspace: Workspace
    database: Database

    @cached_property
    def _app(self) -> Celery:
        return make_app(self.workspace.settings.broker)

    @cached_property
    def _ticks(self) -> Ticks:
        return Ticks(self.database, self._app, SystemClock())

    def close(self) -> None:
        """Its connections to the broker are closed. Repeat: safe."""
        if "_app" in self.__dict__:
            self._app.close()

    def tell(self) -> int:
        """Workers are told what is due, as a scheduler would; the number of batches."""
        return self._ticks.publish()

    def send(self) -> None:
        """The campaign runs, and workers are told of it."""
        clarion(self.workspace, "send", CAMPAIGN, "--yes")
        self.tell()

    def reconcile(self, *arguments: str) -> None:
        """Messages in doubt are settled by these records."""
        clarion(self.workspace, "reconcile", CAMPAIGN, *arguments)

    def status(self) -> dict[str, object]:
        """The run's figures."""
        return clarion_json(self.workspace, "status", CAMPAIGN)

    def counts(self) -> dict[str, int]:
        """Messages by state, read from the table itself."""
        with self.database.begin() as connection:
            rows = connection.execute(
                text("SELECT state::text AS state, count(*) AS count FROM message GROUP BY state")
            )
            return {row.state: row.count for row in rows}

    def people(self, state: str) -> set[str]:
        """The addresses of the messages in a state."""
        query = text(
            "SELECT email FROM message JOIN customer ON customer.id = customer_id WHERE message.state = :state"
        )
        with self.database.begin() as connection:
            return set(connection.execute(query, {"state": state}).scalars())

    def scalar(self, query: str) -> object:
        """The single value of a query."""
        with self.database.begin() as connection:
            return connection.execute(text(query)).scalar()

    def execute(self, statement: str) -> int:
        """The statement is committed; the number of rows it touched."""
        with self.database.begin() as connection:
            return connection.execute(text(statement)).rowcount

    def expire_leases(self) -> None:
        """Leases of lost workers have run out and their batches are told anew: what a test would else wait for."""
        self.execute(
            "UPDATE batch SET lease_until = now() - interval '1 second', published_at = NULL WHERE state = 'claimed'"
        )

    def settle(self) -> None:
        """What lost workers held is sent by those that run, until nothing is open."""

        def is_over() -> bool:
            self.tell()
            self._ticks.settle()
            return self.scalar("SELECT count(*) FROM batch WHERE state <> 'done'") == 0

        self.expire_leases()
        wait_for(is_over, "every batch to be done", self.workspace.root / "worker.log")

    @contextlib.contextmanager
    def worker(self, processes: int = 1, queue: str | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """A `clarion worker` that is connected; of one queue alone it has no companion."""
        arguments = ["--processes", str(processes), *(("--queue", queue) if queue else ())]
        with clarion_process(self.workspace, "worker", *arguments, present="worker") as process:
            yield process


def kill(process: "subprocess.Popen[bytes]") -> None:
    """The worker with all its children is gone at once, as by `kill -9`, and its connections are closed."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
