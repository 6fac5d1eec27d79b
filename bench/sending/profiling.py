"""One Courier in this process, without Celery: what a message costs, and where the time goes."""

import cProfile
import pstats
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from sqlalchemy import text

from bench.sending import usage
from bench.sending.shop import Shop
from campaigns.mailings import Studio, recipients
from campaigns.sending import Courier
from core.clock import SystemClock
from core.database import open_database
from core.embedded import places, postgres
from delivery.message_bytes import write_message
from suppression.policy import Policy
from tests.processes import REPOSITORY, clarion

_BATCHES = text("SELECT b.id FROM batch b JOIN run r ON r.id = b.run_id WHERE r.campaign = :campaign ORDER BY b.id")
_SOME = text(
    "SELECT m.id, r.version_id FROM message m JOIN run r ON r.id = m.run_id WHERE m.state <> 'skipped' LIMIT 50"
)
#: What the rivals send, and about what our messages hold on average.
MESSAGE_BYTES: Final = 7_450
LINKS: Final = 10
_TOLERANCE: Final = 0.05


class _AllThreads:
    """cProfile of the thread that enters and of every thread that begins within the block."""

    def __init__(self) -> None:
        self._profiles = [cProfile.Profile(time.thread_time)]

    def _begin(self, _frame: FrameType, _event: str, _argument: Any) -> None:
        self._profiles.append(cProfile.Profile(time.thread_time))
        self._profiles[-1].enable()

    def __enter__(self) -> "_AllThreads":
        threading.setprofile(self._begin)
        self._profiles[0].enable()
        return self

    def __exit__(self, *_: object) -> None:
        self._profiles[0].disable()
        threading.setprofile(None)

    def statistics(self) -> pstats.Stats:
        """Of all threads together."""
        whole = pstats.Stats(self._profiles[0])
        for profile in self._profiles[1:]:
            whole.add(profile)
        return whole


def planned(shop: Shop, campaign: str) -> list[int]:
    """The campaign is applied; the ids of its batches are returned."""
    shop.add_campaign(campaign)
    clarion(shop.workspace, "plan", campaign, "--out", "plan.json", expect=2)
    clarion(shop.workspace, "apply", "plan.json", "--yes")
    with shop.database.begin() as connection:
        return list(connection.execute(_BATCHES, {"campaign": campaign}).scalars())


def _asked(shop: Shop) -> dict[str, Any]:
    return {"policy": Policy.of(shop.workspace.settings), "now": SystemClock().now()}


def mean_bytes(shop: Shop) -> float:
    """The mean size of messages as they leave. Ends the program where the mailing is not the one that is promised."""
    studio, asked = Studio(shop.workspace), _asked(shop)
    with shop.database.begin() as connection:
        rows = connection.execute(_SOME).all()
        letter = studio.letter(connection, rows[0].version_id)
        people = list(recipients(connection, [row.id for row in rows], **asked))
    sizes = [len(write_message(studio.mail(letter, person))) for person in people]
    mean, links = sum(sizes) / len(sizes), len(letter.mailing.links)
    if links != LINKS or abs(mean / MESSAGE_BYTES - 1) > _TOLERANCE:
        raise SystemExit(f"the mailing has {links} links and {mean:.0f} bytes, not {LINKS} and about {MESSAGE_BYTES}")
    return mean


def parts(shop: Shop) -> dict[str, float]:
    """µs of CPU a message in this process: its row read, its texts rendered, its bytes written; without profiler."""
    studio, asked = Studio(shop.workspace), _asked(shop)
    with shop.database.begin() as connection:
        rows = connection.execute(_SOME).all()
        letter = studio.letter(connection, rows[0].version_id)
        ids = [row.id for row in rows]
        people = list(recipients(connection, ids, **asked))
        reading = _cpu_us(lambda: list(recipients(connection, ids, **asked)), len(ids))
    whole = _cpu_us(lambda: [studio.mail(letter, person) for person in people], len(people))
    rendering = _cpu_us(lambda: [studio.render(letter, person) for person in people], len(people))
    mails = [studio.mail(letter, person) for person in people]
    writing = _cpu_us(lambda: [write_message(mail) for mail in mails], len(mails))
    return {"reading": reading, "rendering": rendering, "headers": whole - rendering, "writing": writing}


def _cpu_us(work: Callable[[], object], messages: int, repetitions: int = 20) -> float:
    """The least of the repetitions: what else the machine does only adds."""
    costs = []
    for _ in range(repetitions):
        begun = time.thread_time()
        work()
        costs.append(time.thread_time() - begun)
    return min(costs) / messages * 1e6


def run(shop: Shop, target: Path, sink: int, lines: int = 45) -> None:
    """Half the batches are sent plainly and timed, the other half under the profiler; both are printed."""
    batches = planned(shop, "profile")
    print(f"mean message {mean_bytes(shop):.0f} bytes, {len(batches)} batches")
    print("µs of CPU per message: " + ", ".join(f"{name} {cost:.0f}" for name, cost in parts(shop).items()))
    half = len(batches) // 2 or 1
    _timed(shop, batches[:half], sink)
    courier = _courier(shop)
    with _AllThreads() as profile:
        for batch_id in batches[half:]:
            courier.send_batch(batch_id)
    courier.close()
    statistics = profile.statistics()
    statistics.dump_stats(target)
    statistics.sort_stats("cumulative").print_stats(str(REPOSITORY) + r"/(?!\.venv)", lines)
    statistics.sort_stats("tottime").print_stats(lines)
    print(f"whole profile: {target} (python -m pstats)")


def _timed(shop: Shop, batches: list[int], sink: int) -> None:
    courier = _courier(shop)
    courier.send_batch(batches[0])  # compiles the template, opens the connections
    groups = {"postgresql": postgres.process(places(shop.workspace)) or 0, "sink": sink}
    before, begun, cpu = usage.cpu_by_group(groups), time.perf_counter(), time.process_time()
    count = sum(sent.messages for batch_id in batches[1:] if (sent := courier.send_batch(batch_id)))
    cpu, took = time.process_time() - cpu, time.perf_counter() - begun
    others = {name: used - before[name] for name, used in usage.cpu_by_group(groups).items()}
    courier.close()
    if count:
        words = ", ".join(f"{name} {used / count * 1e6:.0f}" for name, used in ({"worker": cpu} | others).items())
        print(f"one process, {count} messages: {count / took:.0f}/s; µs of CPU per message: {words}")


def _courier(shop: Shop) -> Courier:
    return Courier(shop.workspace, open_database(shop.workspace, "worker"), SystemClock(), "bench")
