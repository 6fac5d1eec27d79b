"""The whole calendar, from every source."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from campaigns import catalogue as files
from campaigns.calendar import deadlines, mailings, occasions, passages
from campaigns.calendar.entries import Calendar, Entry, Window
from core.errors import ConfigError
from core.workspace import Workspace

DAYS: Final = 14


def gather(connection: Connection, workspace: Workspace, now: datetime, days: int = DAYS) -> Calendar:
    """What goes out from `now` to the end of the last of `days` days, by the organisation's clock; nothing is written.

    Files with mistakes hide what is not applied yet, which is remarked, and nothing else.
    """
    window = Window(now, days, workspace.settings.organisation.zone)
    entries = list(_entries(connection, window))
    remarks = []
    try:
        entries += mailings.not_applied(connection, files.load(workspace), window)
    except ConfigError:
        remarks.append("files of the workspace have mistakes (`clarion validate`): what is not applied is not shown")
    return Calendar.of(window, entries, remarks)


def _entries(connection: Connection, window: Window) -> Iterator[Entry]:
    yield from mailings.waiting(connection, window)
    yield from mailings.recurring(connection, window)
    yield from passages.due(connection, window)
    yield from occasions.events(connection, window)
    yield from deadlines.tasks(connection, window)
