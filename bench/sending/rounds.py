"""Rounds: every rival and we take turns, so that what else the machine does meets all of them alike.

The rivals send before our broadcast and once more after it: a machine that changes its speed meanwhile met them too.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.sending import delay, profiling, rivals, shop, whole_path
from bench.sending.profiling import MESSAGE_BYTES
from bench.sending.rivals import Load, Result
from bench.sending.shop import Shape, Shop
from bench.sending.tools import Sink, Tools
from bench.sending.whole_path import Broadcast, Crew

ROUND_TRIP_MS: Final = 50
#: The rival in Python: what a message costs it tells how fast the machine is at the moment.
GAUGE: Final = "smtplib"
#: Over the long way: enough for a few seconds each.
_FAR_MESSAGES: Final = {"ours": 2_000, "smtplib": 300}


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured with: programs, the sink they send into, and how many rounds."""

    tools: Tools
    sink: Sink
    rounds: int
    rivals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One round: our broadcast, and what the rivals did just before and just after it."""

    ours: Broadcast
    rivals: dict[str, Result]

    def ratio(self, rival: str) -> float:
        """Our messages a second by theirs."""
        return self.ours.per_s / self.rivals[rival].per_s

    def cpu_ratio(self, group: str, rival: str) -> float:
        """The CPU a message costs in our group of processes by what it costs the rival."""
        return self.ours.cpu_us(group) / self.rivals[rival].cpu_us


def of_size(bench: Bench, size: int, shape: Shape) -> dict[str, Any]:
    """The entry of one size: medians, spreads, and every round."""
    with shop.opened(size, shape) as here, whole_path.crew(here, bench.sink.pid) as crew:
        done = [_round(bench, here, crew, shape, number) for number in range(bench.rounds)]
        return {"message_bytes": round(profiling.mean_bytes(here))} | _summed_up(done) | {"peak_mb": crew.peaks_mb()}


def _round(bench: Bench, here: Shop, crew: Crew, shape: Shape, number: int) -> Round:
    load = Load(shape.port, shape.connections * shape.processes, MESSAGE_BYTES, shape.processes)
    before = {name: rivals.run(name, bench.tools, load) for name in bench.rivals}
    ours = crew.broadcast(f"round-{number + 1}")
    done = Round(ours, {name: result + rivals.run(name, bench.tools, load) for name, result in before.items()})
    rates = {"ours": ours.per_s} | {name: result.per_s for name, result in done.rivals.items()}
    _say(f"{here.size:>9,} · round {number + 1}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
    return done


def _summed_up(done: Sequence[Round]) -> dict[str, Any]:
    ours = [round_.ours for round_ in done]
    entry: dict[str, Any] = {"messages_per_s": spread([one.per_s for one in ours], 0)}
    for name in done[0].rivals:
        entry[f"{_key(name)}_per_s"] = spread([round_.rivals[name].per_s for round_ in done], 0)
        entry |= _ratio(name, [round_.ratio(name) for round_ in done])
    entry["cpu_us_per_message"] = {group: spread([one.cpu_us(group) for one in ours], 0) for group in ours[0].cpu_s}
    if GAUGE in done[0].rivals:
        entry["cpu_by_smtplib"] = {
            group: spread([one.cpu_ratio(group, GAUGE) for one in done], 3) for group in ours[0].cpu_s
        }
    rounds = [
        {"ours": one.ours.figures()} | {name: result.figures() for name, result in one.rivals.items()} for one in done
    ]
    return entry | {"rounds": rounds}


def _ratio(name: str, ratios: Sequence[float]) -> dict[str, Any]:
    """The median under `ratio_to_<rival>`, and its spread beside it."""
    found = spread(ratios, 3)
    return {f"ratio_to_{_key(name)}": found["median"], f"ratio_to_{_key(name)}_spread": [found["min"], found["max"]]}


def _key(name: str) -> str:
    return {"smtp-source -d": "smtp_source_keeping_connections"}.get(name, name.replace("-", "_"))


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, least and most."""
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in figures.items()}


def far_away(bench: Bench, batch_size: int) -> dict[str, Any]:
    """Over an added round trip of 50 ms with 10 connections in all: the whole path against `smtplib` in threads."""
    with delay.added(bench.sink.port, ROUND_TRIP_MS) as port:
        shape = Shape(port, connections=5, processes=2, batch_size=batch_size)
        load = Load(port, 10, MESSAGE_BYTES, processes=1)
        with shop.opened(_FAR_MESSAGES["ours"], shape) as here, whole_path.crew(here, bench.sink.pid) as crew:
            done = [_far_round(load, crew, number) for number in range(bench.rounds)]
    entry: dict[str, Any] = {"round_trip_ms": ROUND_TRIP_MS, "connections": 10}
    return entry | _summed_up(done)


def _far_round(load: Load, crew: Crew, number: int) -> Round:
    theirs = rivals.python_client(GAUGE, load, _FAR_MESSAGES[GAUGE])
    done = Round(crew.broadcast(f"far-{number + 1}"), {GAUGE: theirs})
    _say(f"   {ROUND_TRIP_MS} ms · round {number + 1}: ours {done.ours.per_s:,.0f}/s, {GAUGE} {theirs.per_s:,.0f}/s")
    return done


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
