"""What people did about events, as activities: segments, sequences and goals know them like any other."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert

from campaigns.events.held import HeldEvent
from core.schema import activity

#: The names of these activities.
NAMES: Final = ("event_registered", "event_withdrawn", "event_attended", "event_absent")


def record(connection: Connection, held: HeldEvent, rows: Iterable[Row[Any]], name: str, now: datetime) -> None:
    """An activity `name` of each registration's attendee is on record, at `now`. Repeat: safe at the same instant."""
    values = [
        {
            "customer_id": row.customer_id, "name": name, "occurred_at": now, "source": "event",
            "properties": {"event": held.name, "state": row.state},
            "event_key": f"{name}:{row.id}:{now.timestamp():.6f}",
        }
        for row in rows
    ]  # fmt: skip
    if values:
        connection.execute(insert(activity).values(values).on_conflict_do_nothing())
