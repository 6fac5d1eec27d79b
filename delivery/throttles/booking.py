"""Times for messages that must wait: one share of the rate after the other, not all at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from delivery.throttles.limits import Limit
from delivery.throttles.meter import HORIZON, shared_out


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """`count` messages to `domain` should ask again at `not_before`."""

    not_before: datetime
    domain: str
    count: int


def slots(
    line: Limit, limits: Mapping[str, Limit], wanted: Mapping[str, int], now: datetime, *, urgent: bool
) -> list[Slot]:
    """Every one of the `wanted` messages has its time, in order of it; the meters know what is promised.

    Only the next half minute is cut into shares. What comes after stays together at the end of the queue and asks
    again: so a rate that is raised, or a run that is cancelled, changes what is left.
    """
    today, found = _today(line, limits, {domain: count for domain, count in wanted.items() if count})
    if urgent:
        found += [
            Slot(max(line.first(now, urgent=True), limits[domain].first(now, urgent=True)), domain, count)
            for domain, count in today.items()
        ]
        return sorted(found)
    for domain in sorted(today):
        if limits[domain].meter is not None:
            found += _queue(line, limits[domain], {domain: today.pop(domain)}, now)
    found += _queue(line, line, today, now)
    return sorted(found)


def _today(line: Limit, limits: Mapping[str, Limit], wanted: Mapping[str, int]) -> tuple[dict[str, int], list[Slot]]:
    """Who waits for a rate only; and slots of those who wait for the end of a hold, or for another day's volume."""
    left: dict[str, int] = {}
    later: list[Slot] = []
    for domain, count in wanted.items():
        if (ends := limits[domain].held_until) is not None:
            later.append(Slot(ends, domain, count))
            continue
        left[domain] = count if limits[domain].left_today is None else min(count, limits[domain].left_today or 0)
        if left[domain] < count and (volume := limits[domain].volume) is not None:
            later.append(Slot(volume.opens_at, domain, count - left[domain]))
    if line.volume is None:
        return left, later
    kept = shared_out(min(line.volume.left, sum(left.values())), left)
    later += [
        Slot(line.volume.opens_at, domain, count - kept[domain])
        for domain, count in left.items()
        if count > kept[domain]
    ]
    return {domain: count for domain, count in kept.items() if count}, later


def _queue(line: Limit, limit: Limit, waiting: dict[str, int], now: datetime) -> Iterator[Slot]:
    """One share after the other, from the first instant that `limit` and the transport's `line` have left."""
    left = sum(waiting.values())
    while left:
        begin = max(limit.first(now, urgent=False), line.first(now, urgent=False))
        share = limit.meter.share if limit.meter is not None else left
        here = shared_out(left if begin > now + HORIZON else min(share, left), waiting)
        for domain, count in here.items():
            waiting[domain] -= count
        left -= sum(here.values())
        booked = min(share, sum(here.values()))
        limit.book(booked, begin, now)
        if line is not limit:  # a slow domain does not keep the transport from others
            line.book(booked, line.first(now, urgent=False), now)
        yield from (Slot(begin, domain, count) for domain, count in here.items() if count)
