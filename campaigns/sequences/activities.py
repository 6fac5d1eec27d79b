"""What people do, read in the order it becomes known: it begins passages, and wakes those who wait for it.

A transaction that adds activities shares a lock (trigger `activity_known`) from before it takes their numbers until
its end. Whoever gets that lock for himself, for a moment, therefore knows that no activity up to the highest number
can still come, and moves the mark up to it. While an import holds the lock, or a sequence cannot be asked, the mark
stays, and what is visible beyond it is read in a circle, so many activities at a time, again and again: an activity
enrols once, by `enrolment.source_key`. Writes `activity_mark` and `enrolment`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    String,
    Text,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from campaigns.duty import Circumstances
from campaigns.sequences import enrol, records, versions, waking
from campaigns.sequences.records import Record, SequenceState
from campaigns.sequences.versions import Standing
from campaigns.sequences.waking import Stretch
from core.advisory import FOR_REAL
from core.people_lock import people_stay
from core.schema import activity, activity_mark, enrolment
from segments.membership import passing

READER: Final = "sequences"
EVENT: Final = "event"
#: How far the circle came that is read while the mark stays.
_CIRCLE: Final = "sequences: while the mark stays"
#: Activities looked at in one transaction.
_AT_ONCE: Final = 50_000

# The key is that of the trigger (migration 0004). CASE: in a rehearsal no lock is taken.
_KEY: Final = "hashtextextended('activity_known', 0)"
_ALONE: Final = text(f"SELECT CASE WHEN {FOR_REAL} THEN pg_try_advisory_xact_lock({_KEY}) ELSE true END")


def read(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Some of the activities that became known have begun passages and woken who waits for them; how many were read
    for good. One sequence's fault does not hold up the others: they read on, and it makes up for it once it is mended.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    del around  # sequences go by their versions alone
    standing = [record for record in records.held(connection) if record.state is not SequenceState.CANCELLED]
    mark = _mark(connection)
    if mark is None:
        return 0
    settled = _settled(connection)
    if not standing:  # nobody asks: what was done so far is not read later either
        _move(connection, mark, settled)
        return 0
    if settled is not None and settled <= mark:
        return 0
    people_stay(connection)
    if settled is not None:
        stretch = Stretch(mark, min(settled, mark + _AT_ONCE))
        left = _followed(connection, standing, stretch, now)
        if not left:
            _move(connection, mark, stretch.last)
            return stretch.last - mark
        standing = [record for record in standing if record.name not in left]
    _followed(connection, standing, _next_of_circle(connection, mark), now)
    return 0  # they are read again


#: There is an activity nobody read.
IS_BEHIND: Final = f"""
    coalesce((SELECT max(id) FROM activity), 0)
        > coalesce((SELECT activity_id FROM activity_mark WHERE reader = '{READER}'), -1)
"""  # noqa: S608  a constant
_IS_BEHIND: Final = text(f"SELECT {IS_BEHIND}")


def next_read(connection: Connection, around: Circumstances, now: datetime) -> datetime | None:
    """Now, when there is an activity nobody read."""
    del around
    is_behind = connection.execute(_IS_BEHIND).scalar_one()
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


def _next_of_circle(connection: Connection, mark: int) -> Stretch:
    """The next activities beyond the mark that are visible; after the last of them the first come again."""
    known = select(activity_mark.c.activity_id).where(activity_mark.c.reader == _CIRCLE)
    after = max(mark, connection.execute(known).scalar() or 0)
    visible = select(activity.c.id).where(activity.c.id > after).order_by(activity.c.id).limit(_AT_ONCE)
    ids = list(connection.execute(visible).scalars())
    came = ids[-1] if len(ids) == _AT_ONCE else 0
    kept = insert(activity_mark).values(reader=_CIRCLE, activity_id=came)
    connection.execute(kept.on_conflict_do_update(index_elements=["reader"], set_={"activity_id": came}))
    return Stretch(after, ids[-1] if ids else after, ids)


def _settled(connection: Connection) -> int | None:
    """The highest number of an activity below which none can still come; None: some are being added.

    The lock goes with the savepoint, whatever happens in between.
    """
    with connection.begin_nested() as moment:
        is_alone = connection.execute(_ALONE).scalar()
        newest = _newest(connection) if is_alone else None
        moment.rollback()
    return newest


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(activity.c.id), 0))).scalar_one())


# --- what follows ------------------------------------------------------------------------------------------------


def _followed(connection: Connection, standing: Sequence[Record], stretch: Stretch, now: datetime) -> frozenset[str]:
    """The activities have begun passages and woken people; the sequences are returned that could not be asked."""
    if stretch.last <= stretch.after:
        return frozenset()
    waits: list[tuple[int, str, str]] = []
    left = set()
    for record in standing:
        asked = partial(_asked, connection, record, stretch, waits, now)
        if not records.guarded(connection, record.name, asked):  # the engine says when it goes on again
            left.add(record.name)
    waking.wake(connection, waits, stretch, now)
    return frozenset(left)


def _asked(
    connection: Connection, record: Record, stretch: Stretch, waits: list[tuple[int, str, str]], now: datetime
) -> bool:
    """Who did what the sequence begins with has entered, and `waits` has its own; true."""
    _enrol(connection, record, stretch, now)
    waking.gather(connection, record.name, waits)
    return True


def _enrol(connection: Connection, record: Record, stretch: Stretch, now: datetime) -> None:
    standing = versions.fetch(connection, record.version_id)
    if standing.definition.enrol.event is not None:
        entering = _entering(standing, record.since, stretch, now)
        enrol.begin(connection, standing, entering, source=EVENT, now=now)


def _entering(standing: Standing, since: datetime, stretch: Stretch, now: datetime) -> Select[Any]:
    """Who did what the sequence begins with, in the shape `enrol.begin` takes; of several activities the first that
    has not enrolled them yet."""
    asked = standing.definition.enrol
    source_key = literal("activity:", Text) + cast(activity.c.id, String)
    came = select(enrolment.c.id).where(
        enrolment.c.sequence == standing.sequence, enrolment.c.source_key == source_key
    )  # fmt: skip
    done = (
        select(
            activity.c.id, activity.c.customer_id, activity.c.properties.label("given"), source_key.label("source_key"),
            activity.c.occurred_at.label("entered_at"), activity.c.occurred_at.label("step_since"),
        )
        .where(stretch.holds(), activity.c.name == asked.event, activity.c.occurred_at >= since, ~came.exists())
        .cte("done")
    )  # fmt: skip
    key: Any = literal("", Text)
    if asked.key is not None:
        key = func.left(func.coalesce(done.c.given.op("->>", return_type=Text())(asked.key), ""), 200)
    query = select(done.c.customer_id, key.label("entry_key"), done.c.source_key, done.c.given, done.c.entered_at)
    if asked.where is not None:
        query = query.where(done.c.id.in_(passing(asked.where, standing.version.vocabulary, done, now=now)))
    return query.ext(distinct_on(done.c.customer_id, key)).order_by(done.c.customer_id, key, done.c.id)
