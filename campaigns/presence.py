"""Which of Clarion's processes run, as the database sees it: by the names they connect under."""

import contextlib
import os
import socket
import threading
import time
from typing import Final, Self

import psycopg
from sqlalchemy import Connection, text

from core.database import Database, plain_link

#: `core.database` connects as this and the kind of process.
PREFIX: Final = "clarion "
#: A lost connection is noticed, and made again, after this long.
_LOOK_S: Final = 1.0
#: PostgreSQL cuts longer names.
_LONGEST_NAME: Final = 63
#: Without one of them nothing goes.
_SENDERS: Final = frozenset({"worker", "scheduler"})
#: `clarion up` starts a lost process again after half a second, and it needs a few to be there.
_COMES_BACK_S: Final = 10.0


class Present:
    """A process that is seen by `present` from start to stop: it holds a connection for nothing else.

    Connections of a pool do not tell: after the database was away they come back when there is work, and an idle
    worker would count as missing.

    To be started after a fork, once in each process; `process` is worker, scheduler or web.
    """

    def __init__(self, database_url: str, process: str, *, group: int | None = None) -> None:
        """It will be seen as part of the process group `group`; None: the one this process is in."""
        self._url = database_url
        self._name = _name(process, os.getpgid(0) if group is None else group)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="presence", daemon=True)

    def start(self) -> Self:
        """The process is seen within a moment, and again soon after the database was away."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """The process is no longer seen. Repeat: safe."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stay(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(psycopg.Error):  # away: whoever needs it for work says so
                self._hold()
            self._stopping.wait(_LOOK_S)

    def _hold(self) -> None:
        with plain_link(self._url, self._name, connect_timeout=5) as connection:
            while not self._stopping.wait(_LOOK_S):
                connection.execute("SELECT 1")


def _name(process: str, group: int) -> str:
    return f"{PREFIX}{process} {group} {socket.gethostname()}"[:_LONGEST_NAME]


def present(connection: Connection) -> set[str]:
    """The kinds of process that are connected: worker, scheduler, web."""
    return {name.removeprefix(PREFIX).split()[0] for name in _names(connection)}


def are_senders_present(connection: Connection) -> bool:
    """A worker and a scheduler are connected."""
    return present(connection) >= _SENDERS


def await_senders(database: Database) -> bool:
    """Whether a worker and a scheduler are connected. While only one of them is, the other is waited for: it may have
    been lost this moment, and is being started again."""
    deadline = time.monotonic() + _COMES_BACK_S
    while True:
        with database.begin() as connection:
            here = present(connection) & _SENDERS
        if here == _SENDERS:
            return True
        if not here or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S / 5)


def is_present(connection: Connection, process: str, group: int) -> bool:
    """A process of that kind, in that process group of this machine, is connected."""
    return _name(process, group) in _names(connection)


def _names(connection: Connection) -> set[str]:
    query = text(
        "SELECT DISTINCT application_name FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE :prefix"
    )
    return set(connection.execute(query, {"prefix": PREFIX + "_%"}).scalars())
