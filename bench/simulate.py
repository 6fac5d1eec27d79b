"""Thirty days rehearsed with the demo's files: seconds, mails, and the CPU of the program and of its database session.

Usage: PYTHONPATH=. python bench/simulate.py [CUSTOMERS …]   (default 100000)
       BENCH_FOLDER=FOLDER keeps the workspace there, and uses it again.
"""

import contextlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.measuring.by_size import by_size
from campaigns.simulation.assumptions import parse_assumptions
from campaigns.simulation.rehearsal import Wish, rehearse
from core import embedded
from core.database import Database, open_database
from core.workspace import Workspace
from demo.generate import FILES, generate
from demo.stage import Stage

_DAYS = 30
_SEED = 20_260


@contextlib.contextmanager
def dealer(customers: int) -> Iterator[Workspace]:
    """The demo's workspace with so many customers, imported by the commands a marketer types."""
    kept = os.environ.get("BENCH_FOLDER")
    with tempfile.TemporaryDirectory() as scratch:
        stage = Stage(Path(kept or scratch) / f"dealer{customers}")
        is_new = not stage.is_built
        stage.build()
        if is_new:
            _let_many_in(stage.root)
            generate(stage.tables, today=datetime.now(UTC).date(), customers=customers, seed=_SEED)
            for name in FILES:
                if stage.run("import", name, f"data/{name}.csv"):
                    raise SystemExit(f"the import of {name} failed")
        workspace = Workspace(stage.root)
        try:
            yield workspace
        finally:
            if not kept:
                embedded.destroy(workspace)


def _let_many_in(root: Path) -> None:
    """The demo's limits are those of a firm with 5,000 customers."""
    for path in (root / "campaigns").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"max_audience: \d+", "max_audience: 1000000", text), encoding="utf-8")


class Session(threading.Thread):
    """Looks at the CPU of the rehearsal's session in the database, which runs on this machine, until it is gone."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self._database, self.cpu_s, self._over = database, 0.0, threading.Event()

    def run(self) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        while not self._over.wait(0.2):
            with self._database.begin() as connection, contextlib.suppress(OSError):
                for pid in connection.execute(_SESSIONS).scalars():
                    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                    self.cpu_s = max(self.cpu_s, (int(fields[11]) + int(fields[12])) / ticks)

    def stop(self) -> float:
        """The session's CPU seconds."""
        self._over.set()
        self.join()
        return self.cpu_s


_SESSIONS = text("SELECT pid FROM pg_stat_activity WHERE application_name = 'clarion rehearsal'")


def measure(customers: int) -> dict[str, Any]:
    """One rehearsal, as the command does it."""
    with dealer(customers) as workspace:
        database = open_database(workspace)
        now, session = datetime.now(UTC), Session(database)
        session.start()
        begun, used = time.perf_counter(), time.process_time()
        found = rehearse(database, workspace, Wish(now, _DAYS, assumptions=parse_assumptions([])), now)
        seconds, cpu_s = time.perf_counter() - begun, time.process_time() - used
        database_cpu_s = session.stop()
        database.dispose()
    return {
        "customers": customers,
        "days": _DAYS,
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu_s, 1),
        "database_cpu_s": round(database_cpu_s, 1),
        "mails": sum(day.accepted for day in found.days),
        "messages": sum(step.messages for step in found.steps),
        "instants": found.instants,
        "applied": list(found.applied),
        "refused": [f"{one.name}: {one.why}" for one in found.refused],
    }


def main() -> None:
    """Every size, printed as it comes, and kept in bench/results/simulate.json."""
    by_size("simulate", lambda size: [measure(size)], (100_000,))


if __name__ == "__main__":
    main()
