"""Who writes about one address waits for whoever else does, so that a yes never overtakes a no."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

from core import advisory


def lock_addresses(connection: Connection, keys: Iterable[UUID | None]) -> None:
    """Nobody else decides about these addresses until the transaction ends. None is no address. Repeat: safe."""
    for key in sorted({key for key in keys if key is not None}):  # in one order: no two wait for each other
        advisory.hold(connection, f"address:{key}")
