"""Events begin and end at the wall times of their files, also where their zone's rules changed since (S-8.1)."""

import logging
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, update

from campaigns.duty import Circumstances
from campaigns.events.definition import instants
from campaigns.events.held import lock_event
from core import audit
from core.schema import event, registration

_log: Final = logging.getLogger("clarion.scheduler")


def follow(connection: Connection, _around: Circumstances, now: datetime) -> int:
    """Events to come take place at the instants their wall times are by the rules of today; how many were moved.

    With them go reminders, the end of registration and what is mailed from now on. Those who registered are told when
    somebody plans and applies the event: most of their calendars follow by themselves.

    Repeat: safe. Atomic with the connection's transaction.
    """
    coming = select(event.c.name).where(event.c.state == "open", event.c.starts_at > now).order_by(event.c.name)
    return sum(_follow(connection, name, now) for name in connection.execute(coming).scalars().all())


def _follow(connection: Connection, name: str, now: datetime) -> bool:
    held = lock_event(connection, name)
    starts_at, ends_at = instants(held.definition, held.zone)
    if held.state != "open" or (starts_at, ends_at) == (held.starts_at, held.ends_at):
        return False
    connection.execute(update(event).where(event.c.name == name).values(starts_at=starts_at, ends_at=ends_at))
    late = (registration.c.event == name) & (registration.c.offered_until > starts_at)
    connection.execute(update(registration).where(late).values(offered_until=starts_at))
    moved = {"was": held.starts_at.isoformat(), "starts_at": starts_at.isoformat(), "zone": held.zone}
    audit.record(connection, audit.ITSELF, "event.follow", f"event:{name}", at=now, **moved)
    _log.warning("%s: the rules of %s changed; `clarion plan` shows who is to be told of it", name, held.zone)
    return True
