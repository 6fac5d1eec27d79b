"""Which scheduler leads: elected by a lock that ends with its connection, fenced by a number that only rises (S-8.8).

Writes `leader`. A leader that is heard of no more loses the lock, and with it the lead, though it may know nothing of
it: stopped processes wake up. So every transaction in which a leader writes begins with its number, which nobody raises
before it ends. Who is elected waits for no older leader's transaction, but ends it.

The number is guarded by a second advisory lock. A lock of its row would do as well, but is written to disk: a scheduler
with nothing to do would do so twenty times a second.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, text

from core import advisory
from core.database import Database
from core.errors import ServiceError

#: Advisory lock of the leader, and the one that every transaction of a leader shares.
LEADER_LOCK: Final = 0x434C5343
_AT_WORK: Final = 0x434C5357
#: A leader that is heard of no more, though its connection stands, loses it and the lead with it.
LEASE_S: Final = 10
#: No transaction of a leader lasts longer: freezing an audience of a million is a matter of minutes on small machines.
_LONGEST: Final = "30min"


class Deposed(ServiceError):
    """Another scheduler leads by now; nothing was written."""


class Lead:
    """The lead of one scheduler, from an election to the end of its connection; it may be elected again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._epoch = 0
        self._is_over = threading.Event()

    @property
    def url(self) -> str:
        """Of the database."""
        return self._database.url

    @property
    def is_over(self) -> bool:
        """It was ended, or another scheduler was seen to lead."""
        return self._is_over.is_set()

    def is_won(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> bool:
        """Whether this scheduler leads from now on, for as long as the connection lives and says something.

        What older leaders left open is rolled back, so that none of it is waited for.
        """
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
        if row is None or not row[0]:
            return False
        connection.execute(f"SET idle_session_timeout = '{LEASE_S}s'")  # by the database's clock
        self._epoch = _raised(connection)
        self._is_over.clear()
        return True

    def end(self) -> None:
        """No transaction of this lead begins any more. Repeat: safe."""
        self._is_over.set()

    def link(self) -> Connection:
        """As of the database, to ask whether there is anything to do: nothing is written on it, so it is not fenced."""
        return self._database.link()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction in which nobody else comes to lead, committed on leaving, rolled back on an error.

        Raises:
            Deposed: another scheduler leads.
            ServiceError: the server cannot be reached.
        """
        if self.is_over:
            raise Deposed
        with self._database.begin() as connection:
            connection.execute(_ENTER, {"lease": f"{LEASE_S}s", "longest": _LONGEST})
            advisory.share(connection, _AT_WORK)
            if connection.execute(_STILL, {"epoch": self._epoch}).first() is None:
                self._is_over.set()
                raise Deposed
            yield connection


def _raised(connection: "psycopg.Connection[tuple[Any, ...]]") -> int:
    """The number of the lead that begins; what older ones left open is rolled back."""
    connection.execute("SET lock_timeout = '1s'")
    holder = f"{socket.gethostname()} {os.getpid()}"
    while True:
        connection.execute(_END_OLDER, {"lock": _AT_WORK})
        with contextlib.suppress(psycopg.errors.LockNotAvailable), connection.transaction():  # one more had just begun
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_AT_WORK,))
            row = connection.execute(_RAISE, {"holder": holder}).fetchone()
            return int(row[0]) if row is not None else 0


#: Where a process stands still, its idle transaction ends by itself, and any by `_END_OLDER`.
_ENTER: Final = text("""
    SELECT set_config('idle_in_transaction_session_timeout', :lease, true),
        set_config('statement_timeout', :longest, true)
""")
#: A statement after the lock's: it sees what was committed while the lock was waited for.
_STILL: Final = text("SELECT epoch FROM leader WHERE epoch = :epoch")
_END_OLDER: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 0 AND objid = %(lock)s AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RAISE: Final = """
    INSERT INTO leader (epoch, holder, elected_at) VALUES (1, %(holder)s, now())
    ON CONFLICT ("only") DO UPDATE SET epoch = leader.epoch + 1, holder = excluded.holder, elected_at = now()
    RETURNING epoch
"""
