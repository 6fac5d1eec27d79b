"""Locks on what is no row, such as a campaign or a person, held until the transaction ends.

Statements elsewhere that take some in SQL of their own ask `FOR_REAL` as the functions here do; locks of sessions, of
migrations and of triggers do not.

A rehearsal (`campaigns.simulation`) takes none. Its rows are its own, so it has nobody to wait for; and it holds its
transaction for a minute, in which nobody in production may wait for it. Giving its locks other keys would not do: of
100,000 recipients under a cap it would hold 100,000, and the server's table of locks, which is everybody's, has room
for some 6,000.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

#: The setting of a transaction that says in which world it is.
WORLD: Final = "clarion.world"
#: Its value in a rehearsal; elsewhere it has none.
REHEARSAL: Final = "rehearsal"
#: SQL: true where locks are taken. As the only condition of a query it is asked once, before any row.
FOR_REAL: Final = f"coalesce(current_setting('{WORLD}', true), '') <> '{REHEARSAL}'"


def hold(connection: "Connection", key: int | str) -> None:
    """Nobody else holds or shares this key until the transaction ends; who does is waited for. Repeat: safe."""
    connection.execute(_statement("pg_advisory_xact_lock", key), {"lock": key})


def share(connection: "Connection", key: int | str) -> None:
    """Nobody holds this key until the transaction ends; any number may share it. Repeat: safe."""
    connection.execute(_statement("pg_advisory_xact_lock_shared", key), {"lock": key})


def tried(connection: "Connection", key: int | str) -> bool:
    """Whether the key is held, as by `hold`, without waiting for anybody."""
    found = connection.execute(_statement("pg_try_advisory_xact_lock", key), {"lock": key}).scalar()
    return found is not False  # None: there is nobody to lock out


def rehearse(connection: "Connection") -> None:
    """The transaction takes no locks of this kind any more."""
    from sqlalchemy import text

    connection.execute(text("SELECT set_config(:name, :world, true)"), {"name": WORLD, "world": REHEARSAL})


def _statement(function: str, key: int | str) -> "TextClause":
    from sqlalchemy import text

    number = ":lock" if isinstance(key, int) else "hashtextextended(:lock, 0)"
    return text(f"SELECT {function}({number}) WHERE {FOR_REAL}")
