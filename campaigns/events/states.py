"""The states of a registration, and which may follow which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Seat(StrEnum):
    """What somebody who registered has."""

    CONFIRMED = "confirmed"  #: a seat
    WAITING = "waiting"  #: a place on the waiting list
    OFFERED = "offered"  #: a freed seat that is kept for them for a while
    CANCELLED = "cancelled"  #: nothing: they will not come, or did not take the offer in time


#: From → to. None: they register.
FOLLOWS: Final[Mapping[Seat | None, frozenset[Seat]]] = {
    None: frozenset({Seat.CONFIRMED, Seat.WAITING}),
    Seat.WAITING: frozenset({Seat.OFFERED, Seat.CANCELLED}),
    Seat.OFFERED: frozenset({Seat.CONFIRMED, Seat.CANCELLED}),
    Seat.CONFIRMED: frozenset({Seat.CANCELLED}),
    Seat.CANCELLED: frozenset({Seat.CONFIRMED, Seat.WAITING}),
}
