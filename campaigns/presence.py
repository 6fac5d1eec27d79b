"""Which of Clarion's processes are connected to the database, by the names they connect under."""

from sqlalchemy import Connection, text

#: `core.database` connects as this and the kind of process.
PREFIX = "clarion "


def present(connection: Connection) -> set[str]:
    """The kinds of process that are connected: worker, scheduler, web."""
    query = text(
        "SELECT DISTINCT application_name FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE :prefix"
    )
    rows = connection.execute(query, {"prefix": PREFIX + "%"}).scalars()
    return {name.removeprefix(PREFIX) for name in rows}
