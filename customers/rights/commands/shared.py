"""What both groups of commands need."""

from core.commands import Desk


def keep_tombstones(desk: Desk) -> None:
    """Every erasure stands in the workspace's file, beside the database."""
    from customers.rights import tombstones

    with desk.database.begin() as connection:
        tombstones.keep(connection, desk.workspace.state / tombstones.FILE)
