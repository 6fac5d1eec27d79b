"""Our whole path: plan, apply, and a broadcast through the real scheduler, workers, broker, database and sink."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from bench.sending import usage
from bench.sending.shop import Shop
from campaigns.presence import present
from core.embedded import places, postgres, valkey
from tests.processes import clarion, started

_RUN = text("SELECT id, state, fault FROM run WHERE campaign = :campaign")
_TOLD = text("SELECT extract(epoch FROM min(published_at)) FROM batch WHERE run_id = :run_id")
_LEDGER = text("""
    SELECT count(*) FILTER (WHERE state = 'accepted') AS accepted,
           count(*) FILTER (WHERE state NOT IN ('accepted', 'skipped')) AS other,
           extract(epoch FROM min(accepted_at)) AS first, extract(epoch FROM max(accepted_at)) AS last,
           count(DISTINCT accepted_at) AS windows
    FROM message WHERE run_id = :run_id
""")


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One broadcast, from the plan to the last answer. CPU seconds are those of sending alone, by group."""

    messages: int
    plan_s: float
    apply_s: float
    ledger_s: float  # from the first to the last acceptance
    wall_s: float  # from the moment the scheduler told the workers to the last acceptance
    windows: int
    cpu_s: dict[str, float]

    @property
    def per_s(self) -> float:
        """Messages a second, by the ledger."""
        return self.messages / self.ledger_s if self.ledger_s else 0.0

    def cpu_us(self, group: str) -> float:
        """µs of CPU a message in these processes."""
        return self.cpu_s[group] / self.messages * 1e6

    def figures(self) -> dict[str, Any]:
        """As the results file holds it."""
        each = {name: round(self.cpu_us(name), 1) for name in self.cpu_s}
        return {
            "messages": self.messages,
            "messages_per_s": round(self.per_s, 1),
            "messages_per_s_wall": round(self.messages / self.wall_s, 1),
            "windows_per_s": round(self.windows / self.ledger_s, 1) if self.ledger_s else None,
            "cpu_us_per_message": each,
            "plan_s": round(self.plan_s, 2),
            "apply_s": round(self.apply_s, 2),
            "plan_us_per_head": round(self.plan_s / self.messages * 1e6, 2),
            "apply_us_per_head": round(self.apply_s / self.messages * 1e6, 2),
        }


@dataclass(frozen=True, slots=True)
class Crew:
    """The worker processes and the scheduler of one shop, which stay from broadcast to broadcast."""

    shop: Shop
    worker: int  # process id of Celery's main process
    scheduler: subprocess.Popen[bytes]
    sink: int

    def peaks_mb(self) -> list[float]:
        """Peak memory of each process that sends the broadcasts, in MB: of the two, say, that have worked most."""
        busiest = sorted(usage.family(self.worker), key=lambda process: process.cpu_s, reverse=True)
        number = self.shop.workspace.settings.workers.processes
        return [round(usage.peak_mb(process.pid), 1) for process in busiest[:number]]

    def broadcast(self, campaign: str) -> Broadcast:
        """The campaign is planned, applied, and sent to everybody who may be written to."""
        shop = self.shop
        shop.add_campaign(campaign)
        plan_s = _planned(shop, campaign)
        with self._held():
            apply_s = _applied(shop)
            before = usage.cpu_by_group(self._groups())
        run_id = _one(shop, _RUN, campaign=campaign).id
        told = _told(shop, run_id)
        _finish(shop, campaign)
        cpu = {name: used - before[name] for name, used in usage.cpu_by_group(self._groups()).items()}
        ledger = _one(shop, _LEDGER, run_id=run_id)
        if (ledger.accepted, ledger.other) != (shop.size, 0):
            raise SystemExit(f"{ledger.accepted} of {shop.size} were accepted, {ledger.other} have another state")
        return Broadcast(
            shop.size,
            plan_s,
            apply_s,
            float(ledger.last - ledger.first),
            float(ledger.last - told),
            ledger.windows,
            cpu,
        )

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """The scheduler tells nobody anything until the block ends: so a broadcast begins when everything is ready."""
        self.scheduler.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.scheduler.send_signal(signal.SIGCONT)

    def _groups(self) -> dict[str, int]:
        at = places(self.shop.workspace)
        found = {"workers": self.worker, "postgresql": postgres.process(at), "valkey": valkey.process(at)}
        found |= {"sink": self.sink, "scheduler": self.scheduler.pid}
        return {name: pid for name, pid in found.items() if pid}


@contextlib.contextmanager
def crew(shop: Shop, sink: int) -> Iterator[Crew]:
    """`clarion worker` and `clarion scheduler` run for the shop until the block ends."""
    with process_of(shop, "worker") as worker, process_of(shop, "scheduler") as scheduler:
        yield Crew(shop, worker.pid, scheduler, sink)


@contextlib.contextmanager
def process_of(shop: Shop, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """`clarion worker` or `clarion scheduler`, ready."""

    def ready() -> bool:
        with shop.database.begin() as connection:
            return name in present(connection)

    command = ["-m", "cli", "--workspace", str(shop.workspace.root), name]
    with started(command, shop.workspace.root / f"{name}.log", ready=ready) as process:
        yield process


def _planned(shop: Shop, campaign: str) -> float:
    begun = time.perf_counter()
    clarion(shop.workspace, "plan", campaign, "--out", "plan.json", expect=2)
    return time.perf_counter() - begun


def _applied(shop: Shop) -> float:
    begun = time.perf_counter()
    done: subprocess.CompletedProcess[str] = clarion(shop.workspace, "apply", "plan.json", "--yes")
    assert done.returncode == 0
    return time.perf_counter() - begun


def _one(shop: Shop, query: Any, **given: Any) -> Any:
    with shop.database.begin() as connection:
        return connection.execute(query, given).one()


def _told(shop: Shop, run_id: int) -> Any:
    """When the first batch was told to the workers."""
    while (told := _one(shop, _TOLD, run_id=run_id)[0]) is None:
        time.sleep(0.02)
    return told


def _finish(shop: Shop, campaign: str) -> None:
    while (run := _one(shop, _RUN, campaign=campaign)).state != "finished":
        if run.fault:
            log = (shop.workspace.root / "worker.log").read_text(errors="replace").splitlines()[-25:]
            raise SystemExit("\n".join([*log, f"the run does not go on: {run.fault}"]))
        time.sleep(0.1)
