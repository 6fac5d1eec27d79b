"""Which of Clarion's processes are connected to the database: what each calls itself there."""

from sqlalchemy import Connection, text

PREFIX = "clarion "


def application_name(process: str) -> str:
    """The name a process of Clarion connects under: `clarion worker`, `clarion scheduler`."""
    return PREFIX + process


def present(connection: Connection) -> set[str]:
    """The kinds of process that are connected: worker, scheduler, web."""
    query = text(
        "SELECT DISTINCT application_name FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE :prefix"
    )
    rows = connection.execute(query, {"prefix": PREFIX + "%"}).scalars()
    return {name.removeprefix(PREFIX) for name in rows}
