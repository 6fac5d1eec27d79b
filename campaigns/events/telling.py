"""Everybody who registered hears that their event was moved or cancelled: some at a time, each once."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from campaigns.duty import Circumstances
from campaigns.events import activities, mails, seats
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.in_turn import first_done
from campaigns.events.states import Seat
from campaigns.events.taking_back import take_back
from core.people_lock import people_stay
from core.schema import event, registration

#: Registrations in one go: half a second of work.
_MOST: Final = 500


def tell(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """The next who do not know yet how things are with their event are told; how many. Repeat: safe."""
    names = connection.execute(_untold()).scalars().all()
    return first_done(connection, "telling a change", names, lambda name: _tell(connection, circumstances, name, now))


def _tell(connection: Connection, circumstances: Circumstances, name: str, now: datetime) -> int:
    people_stay(connection)
    held = lock_event(connection, name)
    rows = _next(connection, held)
    if not rows:
        connection.execute(update(event).where(event.c.name == name).values(told_revision=held.revision))
        return 1
    if held.state == "cancelled":
        _cancel(connection, circumstances, held, rows, now)
    elif now < held.ends_at:  # what is over changes for nobody
        mails.Post(connection, circumstances, held, now).changed(rows)
    theirs = registration.c.id.in_([row.id for row in rows])
    connection.execute(update(registration).where(theirs).values(event_revision=held.revision))
    return len(rows)


def _untold() -> Any:
    return select(event.c.name).where(event.c.told_revision < event.c.revision).order_by(event.c.changed_at)


def next_telling(connection: Connection, now: datetime) -> datetime | None:
    """`now` while somebody is to be told; None: everybody knows."""
    return None if connection.execute(_untold().limit(1)).scalar() is None else now


def _next(connection: Connection, held: HeldEvent) -> list[Row[Any]]:
    mine = (registration.c.event == held.name) & (registration.c.state != Seat.CANCELLED)
    query = select(registration).where(mine, registration.c.event_revision < held.revision)
    return list(connection.execute(query.order_by(registration.c.id).limit(_MOST)).all())


def _cancel(
    connection: Connection, circumstances: Circumstances, held: HeldEvent, rows: list[Row[Any]], now: datetime
) -> None:
    had_seat = frozenset(row.id for row in rows if row.state == Seat.CONFIRMED)
    gone: list[Row[Any]] = []
    for before in (Seat.CONFIRMED, Seat.OFFERED, Seat.WAITING):
        ids = [row.id for row in rows if row.state == before]
        gone += seats.change(connection, ids, before, Seat.CANCELLED, "event_cancelled", now)
    if now < held.ends_at:
        mails.Post(connection, circumstances, held, now).cancelled(gone, had_seat)
    else:
        take_back(connection, [row.id for row in gone], now)
    activities.record(connection, held, gone, "event_withdrawn", now)
