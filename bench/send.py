"""The whole path of a broadcast into Debian's `smtp-sink`: messages a second, CPU and memory, beside other senders.

python bench/send.py [--sizes 1000 10000 100000] [--rounds 3] [--no-rivals] [--profile] [--tools FOLDER]
"""

import argparse
from pathlib import Path

from bench.sending import profiling, shop, tools, whole_path
from bench.sending.shop import Shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=10, help="of each of our two processes")
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-rivals", action="store_true")
    parser.add_argument("--profile", action="store_true", help="one process without Celery, half of it under cProfile")
    parser.add_argument("--tools", type=Path, help="where Debian's postfix was unpacked")
    arguments = parser.parse_args()
    found = tools.Tools.find(arguments.tools)
    with tools.sink(found) as sink:
        shape = Shape(sink.port, arguments.connections, arguments.processes, arguments.batch_size)
        for size in arguments.sizes:
            with shop.opened(size, shape) as here:
                if arguments.profile:
                    profiling.run(here, Path("/tmp/send.prof"), sink.pid)
                    continue
                with whole_path.crew(here, sink.pid) as crew:
                    for number in range(arguments.rounds):
                        print(crew.broadcast(f"round-{number}").figures(), flush=True)
                    print("peak MB per worker process:", crew.peaks_mb(), flush=True)


if __name__ == "__main__":
    main()
