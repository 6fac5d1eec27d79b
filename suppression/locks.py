"""Who writes about one address waits for whoever else does, so that a yes never overtakes a no."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, func, select


def lock_addresses(connection: Connection, keys: Iterable[UUID | None]) -> None:
    """Nobody else decides about these addresses until the transaction ends. None is no address. Repeat: safe."""
    for key in sorted({key for key in keys if key is not None}):  # in one order: no two wait for each other
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"address:{key}", 0))))
