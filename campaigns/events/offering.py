"""Freed seats: kept for the first of the waiting list for a while, then for the next."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from campaigns.duty import Circumstances
from campaigns.events import mails, seats
from campaigns.events.held import HeldEvent, event_of, lock_event
from campaigns.events.states import Seat
from core.people_lock import people_stay
from core.schema import event, registration

#: Offers made or ended in one go of the duty.
_MOST: Final = 500
#: An offer that could not be answered any more is not made: nobody reads mail while the doors close.
_SHORTEST: Final = timedelta(minutes=15)
_offers = registration.alias("offers")


def offer_free_seats(connection: Connection, circumstances: Circumstances, held: HeldEvent, now: datetime) -> int:
    """Every free seat is kept for somebody who waits, in their order, and a mail says until when; how many is returned.

    Call under the event's lock. Repeat: safe.
    """
    until = _until(held, now)
    if held.state != "open" or until is None:
        return 0
    free = min(seats.count(connection, held).free, _MOST)
    turn = seats.first_waiting(connection, held, free) if free else []
    offered = seats.change(connection, turn, Seat.WAITING, Seat.OFFERED, "offered", now, offered_until=until)
    mails.Post(connection, circumstances, held, now).offered(offered)
    return len(offered)


def _until(held: HeldEvent, now: datetime) -> datetime | None:
    """Until when an offer made now is good: at most until the event starts; None: it is too late for one."""
    waiting_list = held.definition.waiting_list
    offer_for = waiting_list.offer_for if waiting_list is not None else timedelta(days=1)  # the list was taken away
    until = min(now + offer_for, held.starts_at)
    return until if until - now >= min(_SHORTEST, offer_for) else None


def end_offers(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Offers that nobody took in time are over, their mails ordered, and the seats offered on; how many ended.

    Repeat: safe.
    """
    over = select(_offers.c.event).where(_offers.c.state == Seat.OFFERED, _offers.c.offered_until <= now)
    names = _open_events(connection, over.where(_offers.c.event == event.c.name).exists())
    return sum(_end_of(connection, circumstances, _locked(connection, name), now) for name in names)


def _locked(connection: Connection, name: str) -> HeldEvent:
    """The event, locked; before it, that no customer is taken away meanwhile: whoever erases one waits, or has done."""
    people_stay(connection)
    return lock_event(connection, name)


def _open_events(connection: Connection, condition: ColumnElement[bool]) -> list[str]:
    """In the order of their names: two that look after several never wait for each other."""
    query = select(event.c.name).where(event.c.state == "open", condition).order_by(event.c.name)
    return list(connection.execute(query).scalars())


def _end_of(connection: Connection, circumstances: Circumstances, held: HeldEvent, now: datetime) -> int:
    mine = (registration.c.event == held.name) & (registration.c.state == Seat.OFFERED)
    over = select(registration.c.id).where(mine, registration.c.offered_until <= now).order_by(registration.c.id)
    ids = list(connection.execute(over.limit(_MOST)).scalars())
    ended = seats.change(connection, ids, Seat.OFFERED, Seat.CANCELLED, "offer_expired", now)
    mails.Post(connection, circumstances, held, now).offers_ended(ended)
    offer_free_seats(connection, circumstances, held, now)
    return len(ended)


def offer_freed(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Seats that are free while somebody waits are offered, whatever freed them, such as an erasure. Repeat: safe."""
    made = 0
    for name in _with_waiting(connection, now):
        made += offer_free_seats(connection, circumstances, _locked(connection, name), now)
    return made


def _with_waiting(connection: Connection, now: datetime) -> list[str]:
    waits = select(_offers.c.event).where(_offers.c.event == event.c.name, _offers.c.state == Seat.WAITING).exists()
    return _open_events(connection, waits & (event.c.starts_at > now))


def next_offer(connection: Connection, now: datetime) -> datetime | None:
    """When an offer ends next, or `now` where a seat is free for somebody who waits; None: neither."""
    for name in _with_waiting(connection, now):
        held = event_of(connection, name)
        if seats.count(connection, held).free and _until(held, now) is not None:
            return now
    mine = (registration.c.event == event.c.name) & (registration.c.state == Seat.OFFERED)
    ends = select(func.min(registration.c.offered_until)).join(event, mine).where(event.c.state == "open")
    return connection.execute(ends).scalar()
