"""Events one after the other: what goes wrong with one does not hold up the next."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.errors import ServiceError

_log: Final = logging.getLogger("clarion.events")
#: By kind of work and event, what went wrong the last time: it is logged when it changes, not each second.
_faults: Final[dict[tuple[str, str], str]] = {}


def first_done(connection: Connection, what: str, names: Iterable[str], work: Callable[[str], int]) -> int:
    """The work is done for the first of the events where it comes to anything; how much it came to.

    What fails is undone, logged and tried again the next time.

    Raises:
        ServiceError: the database is gone: the next event would fare no better.
    """
    for name in names:
        try:
            with connection.begin_nested():
                done = work(name)
        except ServiceError:
            raise
        except Exception as error:  # told to the log
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            _tell(what, name, error)
            continue
        _faults.pop((what, name), None)
        if done:
            return done
    return 0


def _tell(what: str, name: str, error: Exception) -> None:
    told = f"{type(error).__name__}: {error}"
    if _faults.get((what, name)) != told:
        _faults[what, name] = told
        _log.error("event %s: %s failed", name, what, exc_info=error)
