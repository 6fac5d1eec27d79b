"""Which transport carries a batch: by weight, round what is held.

While a transport is held nobody's message fails: it takes the route's other transports, or waits (standards S-1.8).
What a server says about one message is no fault of the transport, and never changes the way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, RowMapping, func, select

from core.errors import TransportError
from core.names import did_you_mean
from core.schema import throttle
from core.settings import Settings
from core.transport_settings import STANDBY
from delivery.breaker import fault, on_trial, well
from delivery.holds import HeldBy
from delivery.throttles import transport_key
from delivery.throttles.rows import volumes

__all__ = ["AllHeld", "choose", "fault", "spills", "wait", "ways", "well"]
#: How long a batch waits for a held transport before it asks again: somebody may have resumed it.
LONGEST_WAIT: Final = timedelta(minutes=2)


class AllHeld(TransportError):
    """Every transport of the route is held. `wait`: how long a batch should wait before it asks again."""

    def __init__(self, message: str, wait: timedelta, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


def ways(settings: Settings, name: str) -> Mapping[str, int | str]:
    """The transports of the route `name` with their weights; a transport is a route of its own.

    Raises:
        TransportError: the settings have neither.
    """
    if name in settings.routes:
        return settings.routes[name]
    if name in settings.transports:
        return {name: 1}
    hint = did_you_mean(name, [*settings.routes, *settings.transports]) or "restore it, or cancel the run"
    raise TransportError(f"no transport or route {name!r} in clarion.yaml", hint=hint)


def choose(connection: Connection, settings: Settings, name: str, *, salt: int) -> str:
    """A transport of `name` that may be used now, in proportion to the weights; the same one for the same `salt`.

    A held transport whose pause is over is given to one caller, as a trial. Standby ones come in only while no other
    one can be used; one whose warm-up volume is used up for today, only while no other can.

    Raises:
        AllHeld: none may be used now.
        TransportError: there is no such transport or route.
    """
    given = ways(settings, name)
    free, held = _parted(connection, given)
    if len(free) > 1:
        full = _used_up(connection, settings, free)
        free = [way for way in free if way not in full] or free
    weighted = {way: weight for way in free if isinstance(weight := given[way], int)}
    picked = _picked(weighted, salt) if weighted else next(iter(free), None)
    trial = on_trial(connection, [way for way in held if given[way] != STANDBY or picked is None])
    if trial is not None:
        return trial
    if picked is not None:
        return picked
    raise _all_held(name, held)


def look(connection: Connection, settings: Settings, name: str) -> None:
    """One of the transports of `name` may be used now, or tried: for a batch that has not been read yet.

    Nothing is given as a trial: `choose` does that.

    Raises:
        AllHeld: `choose` would raise it.
        TransportError: there is no such transport or route.
    """
    free, held = _parted(connection, ways(settings, name))
    if not free and not any(row["held_until"] and row["held_until"] <= row["read_at"] for row in held.values()):
        raise _all_held(name, held)


def spills(connection: Connection, settings: Settings, name: str, transport: str) -> bool:
    """Whether the warm-up volume of `transport` is used up for today, and another of the route `name` has room."""
    given = ways(settings, name)
    if len(given) == 1:
        return False
    free, _ = _parted(connection, given)
    full = _used_up(connection, settings, free)
    return transport in full and len(full) < len(free)


def wait(connection: Connection, settings: Settings, name: str) -> timedelta | None:
    """How long a batch should wait for a transport of `name`; None: one can be used now, or is not known to fail."""
    free, held = _parted(connection, ways(settings, name))
    return None if free else _wait(held)


def _wait(held: Mapping[str, RowMapping]) -> timedelta:
    """Until the first hold ends; not longer than somebody who resumes a transport would like to wait."""
    now: datetime = max(row["read_at"] for row in held.values())
    ends = [row["held_until"] for row in held.values() if row["held_until"] is not None]
    first: datetime = min(ends, default=now + LONGEST_WAIT)
    return min(max(first - now, timedelta(seconds=1)), LONGEST_WAIT)


def _parted(connection: Connection, given: Mapping[str, int | str]) -> tuple[list[str], dict[str, RowMapping]]:
    """The transports without a hold, in the order of the route, and the rows of the held ones."""
    keys = {transport_key(way): way for way in given}
    query = select(throttle, func.clock_timestamp().label("read_at")).where(
        throttle.c.key.in_(keys), throttle.c.held_at.is_not(None)
    )
    held = {
        keys[row["key"]]: row for row in connection.execute(query).mappings() if row["held_by"] != HeldBy.HARD_BOUNCES
    }
    return [way for way in given if way not in held], held


def _used_up(connection: Connection, settings: Settings, free: Sequence[str]) -> set[str]:
    """The transports whose warm-up plan has no message left for today."""
    plans = {way: plan for way in free if (plan := settings.transports[way].warm_up) is not None}
    if not plans:
        return set()
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    day = now.astimezone(ZoneInfo(settings.organisation.zone)).date()
    used = volumes(connection, [transport_key(way) for way in plans], day)
    allowed = {way: plan.allowed(day) for way, plan in plans.items()}
    return {way for way, heads in allowed.items() if heads is not None and used.get(transport_key(way), 0) >= heads}


def _picked(weights: Mapping[str, int], salt: int) -> str:
    """The transport on which `salt` falls. Neighbouring salts fall far apart (multiples of the golden ratio), so that
    any few batches in a row are shared out nearly as the weights say."""
    place = (salt * 0x9E3779B97F4A7C15 % 2**64) * sum(weights.values()) >> 64
    for way, weight in weights.items():
        place -= weight
        if place < 0:
            return way
    raise ValueError("a route needs a weight above zero")


def _all_held(name: str, held: Mapping[str, RowMapping]) -> AllHeld:
    ends = [row["held_until"] for row in held.values() if row["held_until"] is not None]
    until = min(ends, default=None)
    reasons = "; ".join(f"{way}: {row['held_because']}" for way, row in sorted(held.items()))
    when = f"tried again at {until:%H:%M:%S} UTC" if until is not None else "until somebody resumes it"
    what = "the transport is held" if list(held) == [name] else f"every transport of {name} is held"
    hint = f"`clarion transport list` shows them; once mended: `clarion transport resume {next(iter(held))}`"
    return AllHeld(f"{what}, {when} ({reasons})", _wait(held), hint=hint)
