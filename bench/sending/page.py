"""The figures of sending in docs/performance.md, written from the results file."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bench.measuring.section import Section
from bench.sending.results import told

_RIVALS: Final = {
    "smtp_source": "`smtp-source`",
    "smtp_source_keeping_connections": "`smtp-source -d`",
    "smtplib": "`smtplib`",
    "aiosmtplib": "`aiosmtplib`",
}


def _lines(whole: Mapping[str, Any]) -> Iterator[str]:
    machine, setup = whole["machine"], whole["setup"]
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB; "
        f"{setup['processes']} worker processes, {setup['connections']} connections in all, "
        f"batches of {setup['batch_size']}. Median of the rounds, and in brackets the least and the most."
    )
    yield ""
    yield from _sending(whole["sizes"])
    yield ""
    yield from _beside(whole["sizes"])
    if grown := whole["growth"]:
        yield ""
        yield told(grown)
    if far := whole["round_trip_50ms"]:
        yield ""
        yield (
            f"Over a round trip of {far['round_trip_ms']} ms with {far['connections']} connections: "
            f"{_spread(far['messages_per_s'])} messages a second, {_ratio(far, 'smtplib')} times `smtplib` in "
            f"{far['connections']} threads."
        )


def _sending(sizes: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "| messages planned | a second | CPU each: workers | database | sink | peak memory of a worker | "
        "plan | apply | measured |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for size, entry in sizes.items():
        cpu = {group: f"{used['median']:.0f} µs" for group, used in entry["cpu_us_per_message"].items()}
        ours = [round_["ours"] for round_ in entry["rounds"]]
        plan, apply = (min(one[f"{what}_s"] for one in ours) for what in ("plan", "apply"))
        yield (
            f"| {int(size):,} | {_spread(entry['messages_per_s'])} | {cpu['workers']} | {cpu['postgresql']} | "
            f"{cpu['sink']} | {max(entry['peak_mb']):.0f} MB | {plan:.1f} s | {apply:.1f} s | "
            f"{entry['measured_at'][:10]} |"
        )


def _beside(sizes: Mapping[str, Any]) -> Iterator[str]:
    yield f"| messages planned | {' | '.join(f'ours by {name}' for name in _RIVALS.values())} |"
    yield "|---|---|---|---|---|"
    for size, entry in sizes.items():
        ratios = [_ratio(entry, rival) for rival in _RIVALS]
        yield f"| {int(size):,} | {' | '.join(ratios)} |"


def _ratio(entry: Mapping[str, Any], rival: str) -> str:
    least, most = entry[f"ratio_to_{rival}_spread"]
    return f"{entry[f'ratio_to_{rival}']:.2f} ({least:.2f}–{most:.2f})"


def _spread(values: Mapping[str, float]) -> str:
    return f"{values['median']:,.0f} ({values['min']:,.0f}–{values['max']:,.0f})"


SECTION: Final = Section("figures of sending", "bench/send.py", "send", _lines)
