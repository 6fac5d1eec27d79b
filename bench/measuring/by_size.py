"""A measurement at several sizes: each row is printed as it comes, and all are kept in `bench/results/`."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: The folder of results.
RESULTS = Path(__file__).parent.parent / "results"


def by_size(name: str, measure: Callable[[int], Iterable[dict[str, Any]]], usual: Sequence[int]) -> None:
    """`bench/results/NAME.json` holds the rows of every size given on the command line, else of the `usual` ones.

    Each row says how loaded the machine was when it was done: figures by the clock mean little on a busy one.
    """
    rows = []
    for size in [int(argument) for argument in sys.argv[1:]] or usual:
        for row in measure(size):
            rows.append(row | {"load": round(os.getloadavg()[0], 1)})
            print(rows[-1], flush=True)
    result = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
