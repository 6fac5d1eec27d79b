"""The whole path of a broadcast beside the newsletter engine listmonk: messages a second and CPU, in the same run.

    python bench/listmonk.py --listmonk PROGRAM [--size 10000] [--rounds 5] [--no-far] [--no-store] [--tools FOLDER]

Both send the same mailing to the same people into the same `smtp-sink`, over as many connections: about 7 KB of HTML
and text, 10 tracked links, some 20 values, opens and clicks followed for each person. They take turns, and change
places from round to round; the clock is that of the sink, from the first message to the last. Then the same over a
round trip of 50 ms. Without `--listmonk`, $CLARION_BENCH_LISTMONK names the program. Results go to
bench/results/listmonk.json and into docs/performance.md; `--docs` only writes that page from the results again.
"""

import argparse
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.sending import delay, results, tools
from bench.sending.listmonk import page, turns
from bench.sending.listmonk.program import Program
from bench.sending.rounds import ROUND_TRIP_MS
from bench.sending.shop import Shape

#: Over the long way, where a second holds fewer messages: a batch for each of our two processes.
_FAR_MESSAGES: Final = 1_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listmonk", type=Path, help="the program; or $CLARION_BENCH_LISTMONK")
    parser.add_argument("--size", type=int, default=10_000, help="messages a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=25, help="of each of our two processes")
    parser.add_argument("--batch-size", type=int, default=1000, help="ours")
    parser.add_argument("--no-far", action="store_true", help="leave out the round trip of 50 ms; nothing is stored")
    parser.add_argument("--no-store", action="store_true", help="only print the figures")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the page")
    parser.add_argument("--tools", type=Path, help="where Debian's postfix was unpacked")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.docs:
        page.SECTION.write(page.SECTION.known())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every block ends what it began
    program, found = Program.find(arguments.listmonk), tools.Tools.find(arguments.tools)
    with tools.sink(found) as sink:
        shape = Shape(sink.port, arguments.connections, batch_size=arguments.batch_size)
        near = turns.measured(program, sink, shape, arguments.size, arguments.rounds)
        far = None if arguments.no_far else _far_away(program, sink, arguments.rounds)
    whole = _about(program) | {"near": near, "round_trip_50ms": far}
    print(*page.lines(whole), sep="\n")
    if far and not arguments.no_store:
        page.SECTION.keep(whole)


def _far_away(program: Program, sink: tools.Sink, rounds: int) -> dict[str, Any]:
    """Over an added round trip of 50 ms, with 10 connections on both sides."""
    with delay.added(sink.port, ROUND_TRIP_MS) as port:
        shape = Shape(port, connections=5, batch_size=_FAR_MESSAGES // 2)
        return turns.measured(program, replace(sink, port=port), shape, _FAR_MESSAGES, rounds)


def _about(program: Program) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": results.machine(),
        "versions": results.versions() | {"listmonk": program.version},
    }


if __name__ == "__main__":
    main()
