"""listmonk and we take turns into the same sink, and change places from round to round."""

import contextlib
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.sending import shop, whole_path
from bench.sending.listmonk import mailing
from bench.sending.listmonk.mailing import Rival, Sent
from bench.sending.listmonk.program import Program
from bench.sending.rounds import spread
from bench.sending.shop import Shape
from bench.sending.tools import Sink
from bench.sending.traffic import Traffic, watched
from bench.sending.whole_path import Broadcast, Crew


@dataclass(frozen=True, slots=True)
class Round:
    """One broadcast of ours and one campaign of listmonk's, one after the other."""

    broadcast: Broadcast
    ours: Traffic
    theirs: Sent

    @property
    def ratio(self) -> float:
        """Our messages a second by theirs."""
        return self.ours.per_s / self.theirs.traffic.per_s

    def figures(self) -> dict[str, Any]:
        """As the results file holds it."""
        ours = self.broadcast.figures() | {"messages_per_s_at_sink": round(self.ours.per_s, 1)}
        theirs = {"messages_per_s_at_sink": round(self.theirs.traffic.per_s, 1), "peak_mb": round(self.theirs.peak_mb)}
        return {"ratio": round(self.ratio, 3), "ours": ours, "listmonk": theirs}


def measured(program: Program, sink: Sink, shape: Shape, size: int, rounds: int) -> dict[str, Any]:
    """Medians, spreads and every round, each of `size` messages."""
    connections = shape.connections * shape.processes
    with (
        shop.opened(size, shape) as here,
        whole_path.crew(here, sink.pid) as crew,
        mailing.rival(program, here, sink, connections) as rival,
    ):
        done = [_round(crew, rival, number) for number in range(1, rounds + 1)]
    ratios = [round_.ratio for round_ in done]
    return {
        "messages": size,
        "connections": connections,
        "batch_size": shape.batch_size,
        "settings_of_listmonk": mailing.settings(size, connections),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "ours": _entry([(one.ours, one.broadcast.cpu_s) for one in done]),
        "listmonk": _entry([(one.theirs.traffic, one.theirs.cpu_s) for one in done]),
        "rounds": [one.figures() for one in done],
    }


def _round(crew: Crew, rival: Rival, number: int) -> Round:
    name = f"round-{number}"
    if number % 2:
        theirs, ours = _campaign(rival, crew, name), _broadcast(crew, name)
    else:
        ours, theirs = _broadcast(crew, name), _campaign(rival, crew, name)
    done = Round(*ours, theirs)
    rates = f"ours {done.ours.per_s:,.0f}/s, listmonk {theirs.traffic.per_s:,.0f}/s"
    print(f"{name}: {rates}, {done.ratio:.2f} times", file=sys.stderr, flush=True)
    return done


def _campaign(rival: Rival, crew: Crew, name: str) -> Sent:
    with _held(crew):
        return rival.send(name, crew.sink)


@contextlib.contextmanager
def _held(crew: Crew) -> Iterator[None]:
    """Our scheduler, which otherwise looks about every second, leaves the machine to listmonk."""
    crew.scheduler.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        crew.scheduler.send_signal(signal.SIGCONT)


def _broadcast(crew: Crew, name: str) -> tuple[Broadcast, Traffic]:
    with watched(crew.sink) as readings:
        broadcast = crew.broadcast(name)
    return broadcast, Traffic.of(readings, broadcast.messages)


def _entry(done: Sequence[tuple[Traffic, dict[str, float]]]) -> dict[str, Any]:
    """Medians and spreads of one sender. CPU is counted for a message."""
    return {
        "messages_per_s": spread([traffic.per_s for traffic, _ in done], 0),
        "message_bytes": round(statistics.median(traffic.message_bytes for traffic, _ in done)),
        "cpu_us_per_message": {
            group: spread([cpu[group] / traffic.messages * 1e6 for traffic, cpu in done], 0) for group in done[0][1]
        },
    }
