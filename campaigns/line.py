"""The database connection on which one worker process writes its windows, kept from trip to trip.

On a new connection PostgreSQL plans the statement of a window six times, and that took as long as everything else it
did for a batch.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from campaigns.window import PLAN_ONCE
from core.database import Database, is_gone

_PING: Final = text("SELECT 1")


@dataclass(slots=True)
class Line:
    """To be used by one thread at a time. Every statement on it is a transaction of its own."""

    database: Database
    _link: Connection | None = None

    def open(self) -> Connection:
        """The connection, made when there is none.

        Raises:
            ServiceError: the database cannot be reached.
        """
        if self._link is None:
            self._link = self.database.link()
            self._link.execute(PLAN_ONCE)
        return self._link

    def look(self) -> None:
        """A connection that was lost while nobody used it is no longer kept."""
        if self._link is None:
            return
        try:
            self._link.execute(_PING)
        except DBAPIError as error:
            self.drop()
            if not is_gone(error):
                raise

    def drop(self) -> None:
        """No connection is kept. Repeat: safe."""
        if self._link is not None:
            self._link.invalidate()  # not back into the pool: it was told to plan once
            self._link.close()
            self._link = None
