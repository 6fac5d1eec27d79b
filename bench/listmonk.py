"""The whole path of a broadcast beside the newsletter engine listmonk: messages a second and CPU, in the same run.

    python bench/listmonk.py --listmonk PROGRAM [--size 10000] [--rounds 5] [--no-store] [--tools FOLDER]

Both send the same mailing to the same people into the same `smtp-sink`, over as many connections: about 7 KB of HTML
and text, 10 tracked links, some 20 values, opens and clicks followed for each person. They take turns, and change
places from round to round; the clock is that of the sink, from the first message to the last. Without `--listmonk`,
$CLARION_BENCH_LISTMONK names the program. Results go to bench/results/listmonk.json and into docs/performance.md;
`--docs` only writes that page from the results again.
"""

import argparse
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.sending import results, shop, tools, whole_path
from bench.sending.listmonk import mailing, page
from bench.sending.listmonk.mailing import Rival, Sent
from bench.sending.listmonk.program import Program
from bench.sending.rounds import spread
from bench.sending.shop import Shape
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listmonk", type=Path, help="the program; or $CLARION_BENCH_LISTMONK")
    parser.add_argument("--size", type=int, default=10_000, help="messages a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=25, help="of each of our processes; listmonk has all alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=1000, help="ours")
    parser.add_argument("--no-store", action="store_true", help="only print the figures")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the page")
    parser.add_argument("--tools", type=Path, help="where Debian's postfix was unpacked")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.docs:
        page.write(page.known())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every block ends what it began
    program, found = Program.find(arguments.listmonk), tools.Tools.find(arguments.tools)
    with tools.sink(found) as sink:
        shape = Shape(sink.port, arguments.connections, arguments.processes, arguments.batch_size)
        done = _rounds(program, sink, arguments.size, shape, arguments.rounds)
    whole = _summed_up(done, program, shape)
    print(*page.lines(whole), sep="\n")
    if not arguments.no_store:
        page.keep(whole)


def _rounds(program: Program, sink: tools.Sink, size: int, shape: Shape, number: int) -> list[Round]:
    with (
        shop.opened(size, shape) as here,
        whole_path.crew(here, sink.pid) as crew,
        mailing.rival(program, here, sink, shape.connections * shape.processes) as rival,
    ):
        return [_round(crew, rival, count) for count in range(1, number + 1)]


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
    """Meanwhile our scheduler, which looks about every second, is held: listmonk has the machine to itself."""
    crew.scheduler.send_signal(signal.SIGSTOP)
    try:
        return rival.send(name, crew.sink)
    finally:
        crew.scheduler.send_signal(signal.SIGCONT)


def _broadcast(crew: Crew, name: str) -> tuple[Broadcast, Traffic]:
    with watched(crew.sink) as readings:
        broadcast = crew.broadcast(name)
    return broadcast, Traffic.of(readings, broadcast.messages)


def _summed_up(done: Sequence[Round], program: Program, shape: Shape) -> dict[str, Any]:
    size, connections = done[0].ours.messages, shape.connections * shape.processes
    theirs = mailing.settings(size, connections)
    ratios = [round_.ratio for round_ in done]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": results.machine(),
        "versions": results.versions() | {"listmonk": program.version},
        "setup": {"processes": shape.processes, "connections": connections, "batch_size": shape.batch_size}
        | {"listmonk": theirs},
        "messages": size,
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "ours": _entry([(one.ours, one.broadcast.cpu_s) for one in done]),
        "listmonk": _entry([(one.theirs.traffic, one.theirs.cpu_s) for one in done]),
        "rounds": [one.figures() for one in done],
    }


def _entry(done: Sequence[tuple[Traffic, dict[str, float]]]) -> dict[str, Any]:
    """Medians and spreads of one sender. CPU is counted for a message."""
    return {
        "messages_per_s": spread([traffic.per_s for traffic, _ in done], 0),
        "message_bytes": round(statistics.median(traffic.message_bytes for traffic, _ in done)),
        "cpu_us_per_message": {
            group: spread([cpu[group] / traffic.messages * 1e6 for traffic, cpu in done], 0) for group in done[0][1]
        },
    }


if __name__ == "__main__":
    main()
