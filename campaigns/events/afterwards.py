"""What people and staff make of a registration: withdrawn, an offered seat accepted or declined, checked in.

Every function works within the transaction it is given, takes the event row's lock, and orders its mails in the same
transaction.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from campaigns.duty import Circumstances
from campaigns.events import activities, mails, seats
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.offering import offer_free_seats
from campaigns.events.states import Seat
from core.people_lock import people_stay
from core.schema import registration
from customers.joining import fill_in


class Change(StrEnum):
    """What an order about one registration came to."""

    DONE = "done"
    BEFORE = "before"  #: it was so already: nothing was done
    TOO_LATE = "too_late"  #: the offer has ended, or the event
    GONE = "gone"  #: there is no such registration


def withdraw(
    connection: Connection, circumstances: Circumstances, registration_id: int, now: datetime,
    *, because: str = "withdrawn",
) -> Change:  # fmt: skip
    """They will not come: a mail says so, their calendar forgets it, no reminder follows, and the seat is offered on.

    `because` is on record: `withdrawn`, `declined`, `staff`, … Repeat: safe, `BEFORE`. `TOO_LATE` after the end.
    """
    found = _locked(connection, registration_id)
    if found is None:
        return Change.GONE
    held, row = found
    if row.state == Seat.CANCELLED:
        return Change.BEFORE
    if held.state != "open" or now >= held.ends_at:
        return Change.TOO_LATE
    before = Seat(row.state)
    gone = seats.change(connection, [row.id], before, Seat.CANCELLED, because, now)
    post = mails.Post(connection, circumstances, held, now)
    post.withdrawn(gone, had_seat=before is Seat.CONFIRMED)
    activities.record(connection, held, gone, "event_withdrawn", now)
    offer_free_seats(connection, circumstances, held, now)
    return Change.DONE


def accept_offer(connection: Connection, circumstances: Circumstances, registration_id: int, now: datetime) -> Change:
    """The seat that was kept for them is theirs, and a mail confirms it. Repeat: safe, `BEFORE`.

    `TOO_LATE` when the offer has ended, whoever has the seat now, and from the event's start on.
    """
    found = _locked(connection, registration_id)
    if found is None:
        return Change.GONE
    held, row = found
    if row.state == Seat.CONFIRMED:
        return Change.BEFORE
    if row.state != Seat.OFFERED or held.state != "open" or now >= min(row.offered_until, held.starts_at):
        return Change.TOO_LATE
    taken = seats.change(connection, [row.id], Seat.OFFERED, Seat.CONFIRMED, "accepted", now, waiting_since=None)
    fill_in(connection, row.customer_id, row.answers, now)
    mails.Post(connection, circumstances, held, now).placed(taken)
    return Change.DONE


def decline_offer(connection: Connection, circumstances: Circumstances, registration_id: int, now: datetime) -> Change:
    """They do not want the seat: the next one of the list is offered it. Repeat: safe, as `withdraw`."""
    return withdraw(connection, circumstances, registration_id, now, because="declined")


def check_in(connection: Connection, event: str, registration_id: int, now: datetime, *, undo: bool = False) -> Change:
    """They are here; with `undo`, that was a mistake. Repeat: safe, `BEFORE`. `GONE` unless they have a seat of it.

    `TOO_LATE` once the attendance is on record, which is an hour after the end at the earliest.
    """
    mine = (registration.c.id == registration_id) & (registration.c.event == event)
    found = _locked(connection, registration_id)
    if found is None or found[1].event != event or found[1].state != Seat.CONFIRMED:
        return Change.GONE
    held, row = found
    if held.state != "open":
        return Change.TOO_LATE
    if (row.checked_in_at is None) == undo:
        return Change.BEFORE
    connection.execute(update(registration).where(mine).values(checked_in_at=None if undo else now))
    if not undo:
        fill_in(connection, row.customer_id, row.answers, now)
    return Change.DONE


def _locked(connection: Connection, registration_id: int) -> tuple[HeldEvent, Row[Any]] | None:
    """The registration and its event, which is locked; None: there is no such registration."""
    people_stay(connection)
    query = select(registration).where(registration.c.id == registration_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    held = lock_event(connection, row.event)
    row = connection.execute(query).one_or_none()  # as it is now that nobody else changes it
    return None if row is None else (held, row)
