"""The whole path of a broadcast into Debian's `smtp-sink`: messages a second, CPU and memory, beside other senders.

    python bench/send.py [--sizes 1000 10000 100000] [--rounds 3] [--no-rivals] [--no-far] [--profile] [--tools FOLDER]

Plan, apply, scheduler, two worker processes, PostgreSQL (fsync on), Valkey: all of it real. Every message is
personal: about 7 KB of HTML and text, 10 tracked links, some 20 values. The rivals send one constant message of that
size over as many connections into the same sink, and record nothing. Results go to bench/results/send.json and into
docs/performance.md; `--docs` only writes that page from the results again.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.sending import page, profiling, results, rivals, rounds, shop, tools
from bench.sending.rounds import Bench
from bench.sending.shop import Shape


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [int(size) for size in os.environ.get("SIZES", "1000 10000 100000").split()]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="messages planned; or $SIZES")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=25, help="of each worker process; Postfix allows 50 in all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--no-rivals", action="store_true", help="only ours; nothing is stored")
    parser.add_argument("--no-far", action="store_true", help="leave out the round trip of 50 ms")
    parser.add_argument("--only-far", action="store_true", help="only the round trip of 50 ms; nothing is stored")
    parser.add_argument("--docs", action="store_true", help="measure nothing: write the page")
    parser.add_argument("--profile", action="store_true", help="one process without Celery, half of it under cProfile")
    parser.add_argument("--tools", type=Path, help="where Debian's postfix was unpacked")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.docs:
        page.SECTION.write(page.SECTION.known())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every block ends what it began
    found = tools.Tools.find(arguments.tools)
    with tools.sink(found) as sink:
        shape = Shape(sink.port, arguments.connections, arguments.processes, arguments.batch_size)
        if arguments.profile:
            _profile(arguments.sizes[0], shape, sink)
            return
        names = () if arguments.no_rivals else tuple(rivals.MESSAGES)
        bench = Bench(found, sink, arguments.rounds, names)
        sizes = () if arguments.only_far else arguments.sizes
        measured: dict[str, Any] = {"sizes": {size: rounds.of_size(bench, size, shape) for size in sizes}}
        if arguments.only_far or not (arguments.no_far or arguments.no_rivals):
            measured["round_trip_50ms"] = rounds.far_away(bench, arguments.batch_size)
    setup = {"processes": shape.processes, "connections": shape.processes * shape.connections}
    print(*results.table(measured), sep="\n")
    if not (arguments.no_rivals or arguments.only_far):
        page.SECTION.write(results.stored(measured, setup | {"batch_size": shape.batch_size}))
        print("\nall figures: bench/results/send.json")


def _profile(size: int, shape: Shape, sink: tools.Sink) -> None:
    target = Path(tempfile.gettempdir()) / "clarion-send.prof"
    with shop.opened(size, shape) as here:
        profiling.run(here, target, sink.pid)


if __name__ == "__main__":
    main()
