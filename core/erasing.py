"""Erasing a customer excludes what refers to many of them at once: the freeze of an audience, an import.

A row inserted for a customer who is being erased would fail on its foreign key, and the whole freeze with it.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Advisory lock: shared by whatever inserts rows for customers it has read before, exclusive while one is erased.
_LOCK: Final = 0x434C4155


def nobody_is_erased(connection: "Connection") -> None:
    """Until the transaction ends nobody is erased. An erasure under way is waited for. Repeat: safe."""
    _take(connection, "pg_advisory_xact_lock_shared")


def only_erasing(connection: "Connection") -> None:
    """Until the transaction ends nothing inserts rows for many customers; what does so now is waited for.

    To be called first in its transaction: what is waited for may want a lock of this one else.
    """
    _take(connection, "pg_advisory_xact_lock")


def _take(connection: "Connection", function: str) -> None:
    from sqlalchemy import text

    connection.execute(text(f"SELECT {function}(:lock)"), {"lock": _LOCK})
