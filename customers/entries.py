"""Suppression entries written many at once, from the temporary table `entry`: the longest holds, and none is lifted.

Files make them (`customers.importing`), people who move or become one with another (`follow`), and what an erased
person had said no to (`customers.rights`).
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Entries with these reasons tell of a mailbox; all others of the person behind it, wherever their mail goes.
OF_MAILBOX: Final = ("hard_bounce", "soft_bounces", "mailbox_full")

#: What makes two entries one: only one of them is open at a time.
KEY: Final = "address_key, channel, scope, scope_name, reason"
_ENTRY: Final = f"{KEY}, source, evidence, created_at, expires_at"


def lifted_before(connection: "Connection", *, now: datetime) -> tuple[str, ...]:
    """A remark that entries of the temporary table `entry` had been lifted, if any were; before they are recorded."""
    from sqlalchemy import text

    again = connection.execute(text(_LIFTED_BEFORE), {"now": now}).scalar_one()
    return (f"{again:,} entries had been lifted before, and forbid again",) if again else ()


def record_entries(connection: "Connection", *, now: datetime, tell: bool = False) -> int:
    """The longest entries of the temporary table `entry` are in force; returns how many were written.

    With `tell` the rows that said something new are in the temporary table `news` as well. Repeat: safe.
    """
    from sqlalchemy import text

    connection.execute(text(_CLOSE_SHORTER), {"now": now})
    return connection.execute(text(_INSERT_AND_TELL if tell else _INSERT)).rowcount


def follow(connection: "Connection", *, source: str, now: datetime) -> int:
    """What forbids writing to the old addresses of the temporary table `moved` (old_key, new_key) forbids writing
    to the new ones too, as long, unless it tells of the old mailbox alone.

    Returns how many entries were written: copies with this source that name the old entry. Those of the old address
    stay. Repeat: safe.
    """
    from sqlalchemy import text

    connection.execute(text("DROP TABLE IF EXISTS entry"))
    connection.execute(text(_OF_OLD_ADDRESSES), {"now": now, "source": source, "of_mailbox": list(OF_MAILBOX)})
    return record_entries(connection, now=now)


def _of(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in KEY.split(", "))


#: Entries in whose place none is in force, because somebody lifted it.
_LIFTED_BEFORE = f"""
    SELECT count(*) FROM entry
    WHERE (expires_at IS NULL OR expires_at > :now) AND (
        SELECT bool_and(s.lifted_at IS NOT NULL) AND bool_or(s.lifted_because <> 'replaced by a later entry')
        FROM suppression AS s WHERE ({_of("s")}) = ({_of("entry")})
    )
"""  # noqa: S608  made of our own names

_OF_OLD_ADDRESSES = """
    CREATE TEMP TABLE entry ON COMMIT DROP AS
    SELECT DISTINCT ON (new_key, channel, scope, scope_name, reason)
           id AS row, new_key AS address_key, channel, scope, scope_name, reason, CAST(:source AS text) AS source,
           jsonb_build_object('suppression_id', id) AS evidence, CAST(:now AS timestamptz) AS created_at, expires_at
    FROM suppression JOIN moved ON moved.old_key = suppression.address_key
    WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > :now) AND NOT reason = ANY(:of_mailbox)
    ORDER BY new_key, channel, scope, scope_name, reason, coalesce(expires_at, 'infinity') DESC, id
"""

_CLOSE_SHORTER = f"""
    UPDATE suppression SET lifted_at = :now, lifted_because = 'replaced by a later entry'
    FROM entry
    WHERE ({_of("suppression")}) = ({_of("entry")}) AND suppression.lifted_at IS NULL
      AND suppression.expires_at < coalesce(entry.expires_at, 'infinity')
"""  # noqa: S608  made of our own names

_INSERT = f"""
    INSERT INTO suppression ({_ENTRY})
    SELECT {_ENTRY} FROM entry ORDER BY row
    ON CONFLICT ({KEY}) WHERE lifted_at IS NULL DO NOTHING
"""  # noqa: S608  made of our own names
_INSERT_AND_TELL = f"""
    WITH written AS ({_INSERT} RETURNING {KEY})
    INSERT INTO news SELECT entry.row FROM entry JOIN written USING ({KEY})
"""  # noqa: S608  made of our own names
