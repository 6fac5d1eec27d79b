"""When messages that came back for the time being have come back too often (S-4.19)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from core.feedback_settings import SoftBounces


@dataclass(frozen=True, slots=True)
class Bounce:
    """One message that came back. Reports of one message have the same `message`."""

    message: str
    at: datetime


def suppressed_until(bounces: Iterable[Bounce], rule: SoftBounces, *, since: datetime | None) -> datetime | None:
    """Until when no bulk mail goes to an address these came back from; None: they are too few.

    `since`: a message was delivered then, or somebody lifted the entry: only what came back later counts. A message
    counts once, on the first day it came back (in UTC). Says the same whatever order they are given in.
    """
    first: dict[str, datetime] = {}
    for bounce in bounces:
        if since is None or bounce.at > since:
            first[bounce.message] = min(bounce.at, first.get(bounce.message, bounce.at))
    times = sorted(first.values())
    ends = [at for place, at in enumerate(times) if _is_enough(times[: place + 1], at, rule)]
    return ends[-1] + rule.within if ends else None


def _is_enough(times: list[datetime], at: datetime, rule: SoftBounces) -> bool:
    recent = [one for one in times if one > at - rule.within]
    return len(recent) >= rule.times and len({one.astimezone(UTC).date() for one in recent}) >= rule.days
