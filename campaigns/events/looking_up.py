"""Registrations as pages and programs are shown them, found by their number."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from campaigns.events.states import Seat
from core.schema import registration


@dataclass(frozen=True, slots=True)
class Found:
    """A registration with what a page shows of it."""

    registration_id: int
    event: str
    customer_id: int
    seat: Seat
    language: str | None
    offered_until: datetime | None
    position: int | None  # on the waiting list, from 1; None: they do not wait
    checked_in: bool


def registration_of(connection: Connection, registration_id: int) -> Found | None:
    """The registration with this number; None: there is none."""
    row = connection.execute(select(registration).where(registration.c.id == registration_id)).one_or_none()
    if row is None:
        return None
    position = None
    if row.state == Seat.WAITING:
        before = (registration.c.waiting_since < row.waiting_since) | (
            (registration.c.waiting_since == row.waiting_since) & (registration.c.id <= row.id)
        )
        waits = (registration.c.event == row.event) & (registration.c.state == Seat.WAITING)
        position = connection.execute(select(func.count()).where(waits, before)).scalar_one()
    return Found(
        row.id, row.event, row.customer_id, Seat(row.state), row.language, row.offered_until, position,
        row.checked_in_at is not None,
    )  # fmt: skip
