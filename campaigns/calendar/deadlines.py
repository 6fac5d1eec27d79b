"""Of the calendar: what employees are to have done by when. Whose it is, or about whom, is not told."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from campaigns.calendar.entries import Certainty, Entry, Kind, Window

_DUE: Final = text("""
    SELECT count(*) AS heads, count(*) FILTER (WHERE due_at < :now) AS overdue, min(due_at) AS begins,
        max(due_at) AS ends, (greatest(due_at, :now) AT TIME ZONE :zone)::date AS day
    FROM task WHERE state = 'open' AND due_at < :until GROUP BY day
""")


def tasks(connection: Connection, window: Window) -> Iterator[Entry]:
    """Open tasks by the day on which they are due."""
    given = {"now": window.now, "until": window.until, "zone": window.zone}
    for row in connection.execute(_DUE, given):
        begins = max(row.begins, window.now)
        yield Entry(
            begins, Kind.DEADLINE, "tasks", "are due", row.heads, Certainty.MEASURED, is_mail=False,
            until=row.ends if row.ends > begins else None, remark=f"{row.overdue:,} overdue" if row.overdue else "",
        )  # fmt: skip
