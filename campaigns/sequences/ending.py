"""The end of a cancelled sequence: nobody passes through it any more, and no call that it ordered is made."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from campaigns.duty import Circumstances
from campaigns.sequences import calls

_AT_ONCE: Final = 50_000
_END: Final = text("""
    UPDATE enrolment SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = 'cancelled'
    WHERE id IN (
        SELECT e.id FROM enrolment AS e JOIN sequence AS s ON s.name = e.sequence
        WHERE s.state = 'cancelled' AND e.state = 'active' LIMIT :most FOR NO KEY UPDATE OF e SKIP LOCKED
    )
""")
# One look into the index for each cancelled sequence: joined, all active passages may be read each second.
_PASSAGES_LEFT: Final = """
    EXISTS (SELECT FROM sequence AS s
            CROSS JOIN LATERAL (SELECT FROM enrolment AS e WHERE e.sequence = s.name AND e.state = 'active' LIMIT 1) p
            WHERE s.state = 'cancelled')
"""
#: Somebody passes through a cancelled sequence, or a call of it was not made.
IS_LEFT: Final = f"({_PASSAGES_LEFT} OR {calls.ARE_LEFT})"
_LEFT: Final = text(f"SELECT {IS_LEFT}")


def end_cancelled(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Some of the passages through cancelled sequences, and of their calls, are over; how many. Repeat: safe."""
    del around
    passages = connection.execute(_END, {"now": now, "most": _AT_ONCE}).rowcount
    return passages + calls.end_cancelled(connection, now, _AT_ONCE)


def is_left(connection: Connection, around: Circumstances, now: datetime) -> datetime | None:
    """Now, while somebody passes through a cancelled sequence, or a call of it was not made."""
    del around
    return now if connection.execute(_LEFT, {"now": now}).scalar() else None
