"""Seats: counted, given and freed under the event row's lock (`held.lock_event`), so that none is sold twice.

Whoever comes while somebody waits, waits too: a freed seat is offered to the first of the list before anybody else may
have it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from campaigns.events.held import HeldEvent
from campaigns.events.states import FOLLOWS, Seat
from core.errors import EngineError
from core.schema import registration, registration_change

_LIMITLESS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Counts:
    """How many have what, of an event with so many seats."""

    capacity: int | None
    confirmed: int
    offered: int
    waiting: int

    @property
    def free(self) -> int:
        """The seats that nobody has and that are kept for nobody."""
        return _LIMITLESS if self.capacity is None else max(0, self.capacity - self.confirmed - self.offered)

    @property
    def open_seats(self) -> int:
        """The seats that whoever comes now may have: none while somebody waits."""
        return 0 if self.waiting else self.free


def count(connection: Connection, of: HeldEvent) -> Counts:
    """How the seats stand; exact while the event is locked."""
    states = select(registration.c.state, func.count()).where(registration.c.event == of.name)
    found = {state: number for state, number in connection.execute(states.group_by(registration.c.state))}  # noqa: C416  rows
    return Counts(of.capacity, *(found.get(seat, 0) for seat in (Seat.CONFIRMED, Seat.OFFERED, Seat.WAITING)))


def change(
    connection: Connection, ids: Iterable[int], before: Seat, after: Seat, because: str, now: datetime, **values: Any
) -> list[Row[Any]]:
    """Those of the registrations that are in `before` are in `after`, which is on record; their rows are returned.

    Call under the event's lock. Repeat: safe.
    """
    if after not in FOLLOWS[before]:
        raise EngineError(f"a registration that is {before} cannot become {after}")
    numbers = list(ids)
    if not numbers:
        return []
    mine = registration.c.id.in_(numbers) & (registration.c.state == before)
    moved = update(registration).where(mine).values(state=after, **_times(after, because, now), **values)
    rows = list(connection.execute(moved.returning(registration)).all())
    record(connection, {row.id: before for row in rows}, after, because, now)
    return sorted(rows, key=lambda row: (row.waiting_since or now, row.id))


def _times(after: Seat, because: str, now: datetime) -> dict[str, Any]:
    """What a change of state sets beside the state."""
    none_kept: dict[str, Any] = {"offered_until": None}
    if after is Seat.CONFIRMED:
        return none_kept | {"confirmed_at": now, "cancelled_at": None, "cancelled_because": None}
    if after is Seat.CANCELLED:
        return none_kept | {"cancelled_at": now, "cancelled_because": because, "waiting_since": None}
    return {}


def record(
    connection: Connection, befores: Mapping[int, Seat | None], after: Seat, because: str, now: datetime
) -> None:
    """What became of the registrations is on record."""
    rows = [
        {"registration_id": number, "state_from": before, "state_to": after, "because": because, "at": now}
        for number, before in befores.items()
    ]
    if rows:
        connection.execute(insert(registration_change), rows)


def first_waiting(connection: Connection, of: HeldEvent, most: int) -> list[int]:
    """The registrations whose turn it is, in order."""
    waiting = (registration.c.event == of.name) & (registration.c.state == Seat.WAITING)
    query = select(registration.c.id).where(waiting).order_by(registration.c.waiting_since, registration.c.id)
    return list(connection.execute(query.limit(most)).scalars())
