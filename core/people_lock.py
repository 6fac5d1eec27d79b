"""Who names customers and who takes customers away wait for each other, so that nothing is left naming nobody.

A merged or erased customer's row is deleted. A statement that chose it a moment before would then fail on its foreign
key: with it a whole audience, or an opt-out. The lock is PostgreSQL's, held until the transaction ends.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK: Final = 0x50454F50


def people_stay(connection: "Connection") -> None:
    """Until the transaction ends no customer is taken away; any number of transactions may ask for that at once.

    Called before customers are chosen, by whoever inserts rows that name many of them, or that must not be lost.
    """
    from sqlalchemy import text

    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})


def people_go(connection: "Connection") -> None:
    """Customers may be taken away: those who need them to stay are waited for, and wait until the transaction ends."""
    from sqlalchemy import text

    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
