"""Of the calendar: people who pass through sequences, by the day on which their next step is due."""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, text

from campaigns.calendar.entries import Certainty, Entry, Kind, Window
from campaigns.sequences.versions import Standing, fetch

_DUE: Final = text("""
    SELECT e.sequence, max(e.version_id) AS version_id, e.step, s.state, s.fault,
        min(e.due_at) AS begins, max(e.due_at) AS ends, count(*) AS heads,
        (greatest(e.due_at, :now) AT TIME ZONE :zone)::date AS day
    FROM enrolment AS e JOIN sequence AS s ON s.name = e.sequence
    WHERE e.state = 'active' AND e.due_at < :until
    GROUP BY e.sequence, e.step, s.state, s.fault, day
""")
#: What becomes of somebody at a step, by its kind.
_WHAT: Final[Mapping[str, str]] = {
    "send": "is sent",
    "wait": "ends, or is looked at again",
    "branch": "parts the ways",
    "split": "parts the ways",
    "task": "becomes a task",
    "update": "sets attributes",
    "webhook": "calls another system",
    "exit": "is the end",
}


def due(connection: Connection, window: Window) -> Iterator[Entry]:
    """Who is due at which step of which sequence on which day. One statement, over those alone who are due by then."""
    given = {"now": window.now, "until": window.until, "zone": window.zone}
    rows = connection.execute(_DUE, given).mappings().all()
    standing = {version_id: fetch(connection, version_id) for version_id in {row["version_id"] for row in rows}}
    for row in rows:
        action = _action(standing[row["version_id"]], row["step"])
        begins = max(row["begins"], window.now)
        yield Entry(
            at=begins,
            until=row["ends"] if row["ends"] > begins else None,
            kind=Kind.SEQUENCE,
            name=row["sequence"],
            what=f"{row['step']} {_WHAT.get(action, 'is due')}",
            count=row["heads"],
            certainty=Certainty.MEASURED,
            is_mail=action == "send",
            remark=row["fault"] or "",
            is_paused=row["state"] != "active" or row["fault"] is not None,
        )


def _action(standing: Standing, step: str) -> str:
    found = standing.definition.steps.get(step)
    return found.action if found is not None else ""
