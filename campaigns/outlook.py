"""By what way a campaign would go: its transport or route, what holds it at present, and how long the way takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from campaigns.versions import Version
from core.errors import TransportError
from core.settings import Settings
from core.transport_settings import STANDBY, Transport
from core.units import format_duration, local_instant
from delivery.overview import obstacles, transports
from delivery.routes import ways

#: Further ahead nobody plans.
_FARTHEST: Final = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a plan says about the way. `lasts`: by rates and warm-up plans; None: nothing limits it."""

    route: str
    transports: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    lasts: timedelta | None = None

    def document(self) -> dict[str, Any]:
        """The public form."""
        lasts_s = int(self.lasts.total_seconds()) if self.lasts is not None else None
        return {"transport": self.route, "transports": list(self.transports), "lasts_s": lasts_s}


def outlook(connection: Connection, settings: Settings, version: Version, heads: int, starts_at: datetime) -> Outlook:
    """The way of `heads` messages of the version from `starts_at` on; limits of recipient domains are left out."""
    route = version.transport
    try:
        given = ways(settings, route)
        held = obstacles(connection, settings, route)
    except TransportError as error:
        return Outlook(route, (), (error.message,))
    used = {way.transport: way.sent_today or 0 for way in transports(connection, settings)}
    lines = {name: settings.transports[name] for name, weight in given.items() if weight != STANDBY}
    lasts = _lasts(lines, used, heads, starts_at, settings.organisation.zone)
    remarks = [f"it waits at present: {obstacle.because}" for obstacle in held]
    valid_for = version.definition.limits.valid_for
    if lasts is not None and valid_for is not None and lasts > valid_for:
        late = f"who was not reached after {format_duration(valid_for)} is left out (limits.valid_for)"
        remarks.append(f"it takes about {shown_length(lasts)}, but {late}")
    return Outlook(route, tuple(given), tuple(remarks), lasts)


def shown_length(length: timedelta) -> str:
    """A length as an estimate is told: two units at most, and no seconds above an hour."""
    step = 3600 if length >= timedelta(days=1) else 60 if length >= timedelta(hours=1) else 1
    rounded = -(-length.total_seconds() // step) * step
    return format_duration(timedelta(seconds=rounded))


def _lasts(
    lines: Mapping[str, Transport], used: Mapping[str, int], heads: int, starts_at: datetime, zone: str
) -> timedelta | None:
    """How long `heads` messages take over all the lines together; None: one of them takes any number at any speed."""
    now, left = starts_at, float(heads)
    for day, ends_at in _days(starts_at, zone):
        span_s = (ends_at - now).total_seconds()
        room = [_room(line, day, span_s, used.get(name, 0) if now == starts_at else 0) for name, line in lines.items()]
        if None in room:
            return now - starts_at if now > starts_at else None
        heads_today = sum(amount for amount in room if amount is not None)
        if heads_today >= left:
            speeds = [line.rate for line in lines.values() if line.rate is not None]
            share = left / sum(speeds) if len(speeds) == len(lines) else 0.0
            return now - starts_at + timedelta(seconds=min(share, span_s))
        left -= heads_today
        now = ends_at
    return _FARTHEST


def _room(line: Transport, day: date, span_s: float, used: int) -> float | None:
    """Messages the line takes in the rest of the day; None: any number."""
    by_rate = None if line.rate is None else line.rate * span_s
    allowed = line.warm_up.allowed(day) if line.warm_up is not None else None
    by_plan = None if allowed is None else float(max(0, allowed - used))
    return min((limit for limit in (by_rate, by_plan) if limit is not None), default=None)


def _days(start: datetime, zone: str) -> Iterator[tuple[date, datetime]]:
    """Each day from `start` on, and the instant of its end."""
    day = start.astimezone(ZoneInfo(zone)).date()
    for number in range(_FARTHEST.days):
        following = day + timedelta(days=number + 1)
        yield following - timedelta(days=1), local_instant(datetime.combine(following, time()), zone)
