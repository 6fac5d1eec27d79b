"""The circuit breaker of transports: one at fault is left alone, and tried again after growing pauses.

A transport with a fault that somebody must mend (AUTH, certificate, relaying denied) is held at once; one that
cannot be reached, after three faults without success between. When its pause is over one batch tries it; each
failed trial doubles the pause (standards S-1.8). Owns `throttle.fault_count`.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select, update

from core.schema import throttle
from delivery import holds
from delivery.holds import HeldBy
from delivery.smtp import TransportFault
from delivery.throttles import transport_key
from delivery.throttles.rows import lock

_log = logging.getLogger("clarion.transports")
#: Faults that may pass hold a transport from this one on.
FAULTS_ALLOWED: Final = 3
#: The first pause after a fault that may pass, and after one that somebody must mend; the longest of both.
FIRST_PAUSE: Final = timedelta(seconds=15)
FIRST_PAUSE_TO_MEND: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(minutes=30)
#: How long a batch may try a held transport before another one may.
_TRIAL: Final = timedelta(minutes=1)
_ACTOR: Final = "clarion"


def fault(connection: Connection, transport: str, error: TransportFault) -> None:
    """The fault is on the transport's account; it is held when somebody must mend it, or when it is one too many.

    Faults of batches that were under way when the hold began change nothing.
    """
    locked = lock(connection, [transport_key(transport)])
    row, now = locked.rows[transport_key(transport)], locked.now
    is_on = row["held_at"] is not None and (row["held_until"] is None or row["held_until"] > now)
    if is_on and (row["held_by"] != HeldBy.TRIAL):
        return
    count = row["fault_count"] + 1
    mine = update(throttle).where(throttle.c.key == transport_key(transport))
    allowed = FAULTS_ALLOWED if error.temporary else 1
    if count < allowed and row["held_by"] is None:
        connection.execute(mine.values(fault_count=count))
        return
    until = now + pause_after(count, temporary=error.temporary)
    if row["held_at"] is None:
        because, by = error.message, HeldBy.BREAKER
        holds.hold(connection, transport_key(transport), because=because, by=by, until=until, actor=_ACTOR)
        _log.error("transport %s is held: %s", transport, error.message)
    values = {"fault_count": count, "held_until": until, "held_by": HeldBy.BREAKER, "held_because": error.message[:500]}
    connection.execute(mine.values(**values))


def well(connection: Connection, transport: str, *, began: datetime | None = None) -> None:
    """The transport served: faults are forgotten, and a hold that is on trial is over. Repeat: safe.

    `began`: when the batch that was served chose the transport, by the database's clock. One that began before the
    hold was served by connections made before, and shows nothing: a refused password is still refused.
    """
    mine = throttle.c.key == transport_key(transport)
    query = select(throttle.c.fault_count, throttle.c.held_at, throttle.c.held_by).where(mine)
    row = connection.execute(query).one_or_none()
    if row is None or (row.fault_count == 0 and row.held_at is None):
        return
    if row.held_at is None:
        free = throttle.c.held_at.is_(None)  # still: a hold that came meanwhile keeps its count
        connection.execute(update(throttle).where(mine, free).values(fault_count=0))
    elif row.held_by == HeldBy.TRIAL and (began is None or began > row.held_at):
        holds.release(connection, transport_key(transport), actor=_ACTOR)
        _log.warning("transport %s serves again", transport)


def pause_after(fault_count: int, *, temporary: bool) -> timedelta:
    """How long a transport is held after so many faults in a row: doubled each time, up to half an hour."""
    first, steps = (FIRST_PAUSE, fault_count - FAULTS_ALLOWED) if temporary else (FIRST_PAUSE_TO_MEND, fault_count - 1)
    doublings = min(max(steps, 0), 16)
    return min(LONGEST_PAUSE, first * (1 << doublings))


def on_trial(connection: Connection, held: Sequence[str]) -> str | None:
    """One of the held transports whose pause is over, now this caller's to try; None when there is none."""
    for way in held:
        over = (throttle.c.key == transport_key(way)) & (throttle.c.held_until <= func.clock_timestamp())
        trial = {"held_until": func.clock_timestamp() + _TRIAL, "held_by": HeldBy.TRIAL}
        if connection.execute(update(throttle).where(over).values(**trial)).rowcount:
            return way
    return None
