"""The sequences that were applied: which version new passages begin with, and whether they go on at present.

Writes `sequence`.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, RowMapping, Select, case, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from campaigns.runs import WORK_CHANNEL
from core.database import is_gone
from core.errors import EngineError, NotFound
from core.names import near_miss
from core.schema import sequence

_log = logging.getLogger("clarion.sequences")


class SequenceState(StrEnum):
    """Whether passages go on."""

    ACTIVE = "active"  #: they do
    PAUSED = "paused"  #: they wait until somebody resumes the sequence; nobody of a segment enters
    CANCELLED = "cancelled"  #: they have ended; a new version's plan is the order to begin again


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence as it was applied."""

    name: str
    version_id: int  # of new passages
    state: SequenceState
    fault: str | None
    since: datetime  # what people did before is never made up for
    looked_at: datetime | None  # its segment; None: never yet


def register(connection: Connection, name: str, version_id: int, now: datetime) -> Record:
    """New passages of the sequence begin with this version. Repeat: safe.

    It begins at `now`, or goes on as it was: paused if it was paused. One that was cancelled begins anew.
    """
    connection.execute(_END_LEFT, {"name": name, "now": now})
    connection.execute(_END_CALLS, {"name": name, "now": now})
    begun = insert(sequence).values(name=name, version_id=version_id, state="active", since=now)
    was_cancelled = sequence.c.state == "cancelled"
    again = {
        "version_id": version_id,
        "state": case((was_cancelled, "active"), else_=sequence.c.state),
        "since": case((was_cancelled, now), else_=sequence.c.since),
        "looked_at": case((was_cancelled, None), else_=sequence.c.looked_at),
        "fault": case((was_cancelled, None), else_=sequence.c.fault),
    }
    connection.execute(begun.on_conflict_do_update(index_elements=["name"], set_=again))
    connection.execute(_READ_FROM_HERE)
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    return known(connection, [name])[0]


#: Who is still on the way through a cancelled sequence does not go on when it begins anew.
_END_LEFT: Final = text("""
    UPDATE enrolment SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = 'cancelled'
    WHERE sequence = :name AND state = 'active'
      AND EXISTS (SELECT FROM sequence WHERE name = :name AND state = 'cancelled')
""")
#: One that a worker has in its hands at this instant is made; one whose worker was lost is not made again.
_END_CALLS: Final = text("""
    UPDATE webhook_call SET state = 'failed', fault = 'the sequence was cancelled', answered_at = :now
    WHERE (state = 'planned' OR state = 'handed_over' AND not_before <= :now) AND content ->> 'sequence' = :name
      AND EXISTS (SELECT FROM sequence WHERE name = :name AND state = 'cancelled')
""")
#: What was done before a first sequence began is not read.
_READ_FROM_HERE: Final = text("""
    INSERT INTO activity_mark (reader, activity_id) SELECT 'sequences', coalesce(max(id), 0) FROM activity
    ON CONFLICT (reader) DO NOTHING
""")


def find(connection: Connection, name: str) -> Record | None:
    """The sequence, if it was ever applied."""
    return next(iter(known(connection, [name])), None)


def named(connection: Connection, name: str) -> Record:
    """The sequence of this name.

    Raises:
        NotFound: it was never applied; near misses are named.
    """
    record = find(connection, name)
    if record is None:
        close = near_miss(name, [each.name for each in known(connection)])
        hint = "bring it into force with `clarion apply`; `clarion sequence list` shows what is"
        raise NotFound(f"no sequence {name!r} is in force", hint=f"did you mean {close!r}?" if close else hint)
    return record


def known(connection: Connection, names: Iterable[str] | None = None) -> list[Record]:
    """The sequences that were applied, by name; all of them unless `names` are given."""
    query: Select[tuple[object, ...]] = select(sequence).order_by(sequence.c.name)
    if names is not None:
        query = query.where(sequence.c.name.in_(list(names)))
    return [_record(row) for row in connection.execute(query).mappings()]


def held(connection: Connection) -> list[Record]:
    """The sequences that were applied, held until the transaction ends: none of them is edited meanwhile.

    Whoever wakes people needs that: somebody whom an edit takes over at that instant would be woken in no version.
    """
    rows = select(sequence).order_by(sequence.c.name).with_for_update(read=True, key_share=True)
    return [_record(row) for row in connection.execute(rows).mappings()]


def _record(row: RowMapping) -> Record:
    return Record(
        row["name"], row["version_id"], SequenceState(row["state"]), row["fault"], row["since"], row["looked_at"]
    )


def stop(connection: Connection, name: str, fault: str) -> None:
    """The sequence is paused, and says why. One that was paused or cancelled stays so."""
    is_active = (sequence.c.name == name) & (sequence.c.state == SequenceState.ACTIVE)
    connection.execute(update(sequence).where(is_active).values(state=SequenceState.PAUSED, fault=fault))


def looked(connection: Connection, name: str, now: datetime) -> None:
    """The members of its segment have entered."""
    connection.execute(update(sequence).where(sequence.c.name == name).values(looked_at=now))


def guarded(connection: Connection, name: str, act: Callable[[], int]) -> int:
    """What `act` returns; 0 when it failed: that is said on the sequence, and holds up no other one.

    A fault is logged when it is new: whatever causes it fails again at the next tick.
    """
    try:
        with connection.begin_nested():
            return act()
    except Exception as error:
        if isinstance(error, DBAPIError) and is_gone(error):
            raise
        fault = error.message if isinstance(error, EngineError) else type(error).__name__
        if _note(connection, name, fault):
            _log.exception("sequence %s could not go on", name)
        return 0


def heal(connection: Connection, name: str) -> None:
    """What kept the sequence from going on is over. Repeat: safe."""
    _note(connection, name, None)


def _note(connection: Connection, name: str, fault: str | None) -> bool:
    """The sequence has this fault; whether it is another one than before. One that was stopped keeps its own."""
    changed = sequence.c.fault.is_distinct_from(fault) & (sequence.c.state == SequenceState.ACTIVE)
    noted = update(sequence).where(sequence.c.name == name, changed).values(fault=fault)
    return connection.execute(noted).rowcount > 0
