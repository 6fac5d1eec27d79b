"""The figures beside listmonk in docs/performance.md, written from the results file."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bench.measuring.section import Section

_RECORDED: Final = (
    "listmonk writes nothing about a single message: it counts in memory, and its database learns with every batch "
    "fetched and every five seconds how far the campaign is, so nobody can be told what they got, and after a crash "
    "it goes on behind the last batch it fetched. Clarion asks the gate about every recipient, writes each message "
    "before it hands it over and again with the answer; `plan` and `apply`, which listmonk has no like of, came "
    "before and are not in its figure."
)
_WAITED: Final = "listmonk waits for the answer to each of five commands a message, which Clarion pipelines."


def lines(whole: Mapping[str, Any]) -> Iterator[str]:
    """How it was measured, the table, and what it means."""
    machine, near = whole["machine"], whole["near"]
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, on "
        f"{whole['measured_at'][:10]}; {near['messages']:,} messages a round, {len(near['rounds'])} rounds, "
        f"{near['connections']} connections on both sides; two worker processes of Clarion's with batches of "
        f"{near['batch_size']:,}, listmonk {whole['versions']['listmonk']} with {near['connections']} workers and "
        f"batches of {near['settings_of_listmonk']['app.batch_size']:,}, each with a PostgreSQL 18 of its own. Median "
        "of the rounds, and in brackets the least and the most."
    )
    yield ""
    yield "| | a second | CPU each: sender | database | sink | bytes each, dialogue included |"
    yield "|---|---|---|---|---|---|"
    yield _row("Clarion", near["ours"], ("workers", "scheduler", "valkey"))
    yield _row("listmonk", near["listmonk"], ("listmonk",))
    yield ""
    yield f"Clarion sends {_ratio(near)} times as many a second as listmonk. {_RECORDED}"
    if far := whole["round_trip_50ms"]:
        yield ""
        yield (
            f"Over a round trip of 50 ms with {far['connections']} connections on both sides: {_rate(far['ours'])} a "
            f"second and {_rate(far['listmonk'])}, {_ratio(far)} times as many. {_WAITED}"
        )


def _ratio(entry: Mapping[str, Any]) -> str:
    least, most = entry["ratio_spread"]
    return f"**{entry['ratio']:.2f}** ({least:.2f}–{most:.2f})"


def _rate(entry: Mapping[str, Any]) -> str:
    rate = entry["messages_per_s"]
    return f"{rate['median']:,.0f} ({rate['min']:,.0f}–{rate['max']:,.0f})"


def _row(name: str, entry: Mapping[str, Any], sender: tuple[str, ...]) -> str:
    cpu = {group: used["median"] for group, used in entry["cpu_us_per_message"].items()}
    own = sum(cpu.get(group, 0) for group in sender)
    others = f"{cpu['postgresql']:.0f} µs | {cpu['sink']:.0f} µs"
    return f"| {name} | {_rate(entry)} | {own:.0f} µs | {others} | {entry['message_bytes']:,.0f} |"


SECTION: Final = Section("figures beside listmonk", "bench/listmonk.py", "listmonk", lines)
