"""What people do, read in the order it becomes known: it begins passages, and wakes those who wait for it.

A transaction that adds activities shares a lock (trigger `activity_known`) from before it takes their numbers until
its end. Whoever gets that lock for himself, for a moment, therefore knows that no activity up to the highest number
can still come, and moves the mark up to it. While an import holds the lock the mark stays, and what is visible is read
again and again: an activity enrols once, by `enrolment.source_key`. Writes `activity_mark` and `enrolment`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Select,
    String,
    Text,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert

from campaigns.duty import Circumstances
from campaigns.sequences import enrol, records, versions
from campaigns.sequences.records import SequenceState
from campaigns.sequences.versions import Standing
from core.advisory import FOR_REAL
from core.arrays import Ids
from core.people_lock import people_stay
from core.schema import activity, activity_mark, sequence_version
from segments.membership import passing, rule
from segments.waking import wakers

READER: Final = "sequences"
EVENT: Final = "event"
#: Numbers of activities looked at in one transaction.
_AT_ONCE: Final = 50_000

# The key is that of the trigger (migration 0004). CASE: in a rehearsal no lock is taken, and none let go.
_KEY: Final = "hashtextextended('activity_known', 0)"
_ALONE: Final = text(f"SELECT CASE WHEN {FOR_REAL} THEN pg_try_advisory_lock({_KEY}) ELSE true END")
_NOT_ALONE: Final = text(f"SELECT CASE WHEN {FOR_REAL} THEN pg_advisory_unlock({_KEY}) ELSE true END")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The activities with numbers above `after`, up to `last`. `is_whole`: none of them can still come."""

    after: int
    last: int
    is_whole: bool

    def holds(self) -> Any:
        return (activity.c.id > self.after) & (activity.c.id <= self.last)


def read(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Some of the activities that became known have begun passages and woken who waits for them; how many were read
    for good. Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    del around  # sequences go by their versions alone
    standing = [record for record in records.held(connection) if record.state is not SequenceState.CANCELLED]
    mark = _mark(connection)
    if mark is None:
        return 0
    if not standing:  # nobody asks: what was done so far is not read later either
        _move(connection, mark, _settled(connection))
        return 0
    stretch = _stretch(connection, mark)
    if stretch.last <= stretch.after:
        return 0
    people_stay(connection)
    for record in standing:
        of_event = versions.fetch(connection, record.version_id)
        if of_event.definition.enrol.event is not None:
            _enrol(connection, of_event, record.since, stretch, now)
    _wake(connection, [record.name for record in standing], stretch, now)
    if not stretch.is_whole:
        return 0  # they are read again
    _move(connection, mark, stretch.last)
    return stretch.last - stretch.after


def next_read(connection: Connection, around: Circumstances, now: datetime) -> datetime | None:
    """Now, when there is an activity nobody read."""
    del around
    newest = select(func.max(activity.c.id)).scalar_subquery()
    mark = select(activity_mark.c.activity_id).where(activity_mark.c.reader == READER).scalar_subquery()
    is_behind = connection.execute(select(func.coalesce(newest, 0) > func.coalesce(mark, -1))).scalar_one()
    return now if is_behind and records.known(connection) else None


# --- how far -----------------------------------------------------------------------------------------------------


def _mark(connection: Connection) -> int | None:
    """How far activities were read, in this transaction's hands; None: somebody else reads."""
    known = select(activity_mark.c.activity_id).where(activity_mark.c.reader == READER)
    found = connection.execute(known.with_for_update(skip_locked=True)).scalar()
    if found is None and connection.execute(known).scalar() is None:
        first = insert(activity_mark).values(reader=READER, activity_id=_settled(connection) or 0)
        connection.execute(first.on_conflict_do_nothing())
        return _mark(connection)
    return found


def _move(connection: Connection, mark: int, last: int | None) -> None:
    if last is not None and last > mark:
        moved = activity_mark.update().where(activity_mark.c.reader == READER).values(activity_id=last)
        connection.execute(moved)


def _stretch(connection: Connection, mark: int) -> _Stretch:
    settled = _settled(connection)
    last = settled if settled is not None else _newest(connection)
    return _Stretch(mark, min(last, mark + _AT_ONCE), is_whole=settled is not None)


def _settled(connection: Connection) -> int | None:
    """The highest number of an activity below which none can still come; None: some are being added."""
    if not connection.execute(_ALONE).scalar():
        return None
    try:
        return _newest(connection)
    finally:
        connection.execute(_NOT_ALONE)


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(activity.c.id), 0))).scalar_one())


# --- what follows ------------------------------------------------------------------------------------------------


def _enrol(connection: Connection, standing: Standing, since: datetime, stretch: _Stretch, now: datetime) -> None:
    enrol.begin(connection, standing, _entering(standing, since, stretch, now), source=EVENT, now=now)


def _entering(standing: Standing, since: datetime, stretch: _Stretch, now: datetime) -> Select[Any]:
    """Who did what the sequence begins with, in the shape `enrol.begin` takes; of several activities the first."""
    asked = standing.definition.enrol
    done = (
        select(
            activity.c.id, activity.c.customer_id, activity.c.properties.label("given"),
            activity.c.occurred_at.label("entered_at"), activity.c.occurred_at.label("step_since"),
        )
        .where(stretch.holds(), activity.c.name == asked.event, activity.c.occurred_at >= since)
        .cte("done")
    )  # fmt: skip
    key: Any = literal("", Text)
    if asked.key is not None:
        key = func.left(func.coalesce(done.c.given.op("->>", return_type=Text())(asked.key), ""), 200)
    query = select(
        done.c.customer_id, key.label("entry_key"),
        (literal("activity:", Text) + cast(done.c.id, String)).label("source_key"), done.c.given,
    )  # fmt: skip
    if asked.where is not None:
        query = query.where(done.c.id.in_(passing(asked.where, standing.version.vocabulary, done, now=now)))
    return query.ext(distinct_on(done.c.customer_id, key)).order_by(done.c.customer_id, key, done.c.id)


# An enrolment that the engine has in hands is waited for, and its place of then is looked at: no wake is lost.
_WAKE: Final = text("""
    UPDATE enrolment AS e SET due_at = :now
    FROM activity AS a, unnest(:versions, CAST(:steps AS text[]), CAST(:names AS text[])) AS w (version_id, step, name)
    WHERE a.id > :after AND a.id <= :last AND a.name = w.name AND e.customer_id = a.customer_id
      AND e.version_id = w.version_id AND e.step = w.step AND e.state = 'active'
""").bindparams(
    bindparam("versions", type_=Ids),
    bindparam("steps", type_=ARRAY(Text)),
    bindparam("names", type_=ARRAY(Text)),
    bindparam("after", type_=BigInteger),
    bindparam("last", type_=BigInteger),
    bindparam("now", type_=DateTime(timezone=True)),
)


def _wake(connection: Connection, names: list[str], stretch: _Stretch, now: datetime) -> None:
    """Whoever waits for something that was done is looked at now."""
    waits = [wait for name in names for wait in _waits(connection, name)]
    if not waits:
        return
    versions_, steps, activities = (list(column) for column in zip(*waits, strict=True))
    given = {"versions": versions_, "steps": steps, "names": activities, "now": now}
    connection.execute(_WAKE, given | {"after": stretch.after, "last": stretch.last})


def _waits(connection: Connection, name: str) -> Iterator[tuple[int, str, str]]:
    """Version, step and activity of every wait of the sequence that an activity may end."""
    rows = connection.execute(select(sequence_version).where(sequence_version.c.sequence == name)).mappings()
    for row in rows.all():
        standing = versions.from_row(row["id"], row["sequence"], row["definition"])
        for step, content in standing.definition.steps.items():
            if content.wait is not None and content.wait.rule is not None:
                waited = wakers(rule(content.wait.rule, standing.version.vocabulary))
                yield from ((standing.id, step, each) for each in sorted(waited.activities))
