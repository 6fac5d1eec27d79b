"""Who enters from segments: looked at live, again and again, or once at the start."""

from datetime import UTC, datetime, time
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, Text, func, literal, null, select, text, true
from sqlalchemy.dialects.postgresql import JSONB

from campaigns.duty import Circumstances
from campaigns.sequences import enrol, records, versions
from campaigns.sequences.records import Record
from campaigns.sequences.versions import Standing
from core.database import analyze
from core.people_lock import people_stay
from core.schema import enrolment
from core.units import local_instant
from segments.membership import audience

SEGMENT: Final = "segment"
#: People who enter in one go. Each go asks the segment anew.
_AT_ONCE: Final = 100_000
_ANALYZE_FROM: Final = 5_000


def look(connection: Connection, around: Circumstances, now: datetime) -> int:
    """New members of segments whose time has come have entered, of one sequence at a time; how many. Repeat: safe."""
    for record in _looking(connection):
        entered = records.guarded(connection, record.name, partial(_look_at, connection, around, record, now))
        if entered:
            return entered
    return 0


def _look_at(connection: Connection, around: Circumstances, record: Record, now: datetime) -> int:
    standing = versions.fetch(connection, record.version_id)
    at = due_at(around, record, standing)
    if at is None or at > now:
        return 0
    entered = _enter(connection, record, standing, now)
    records.heal(connection, record.name)
    return entered


def next_look(connection: Connection, around: Circumstances, now: datetime) -> datetime | None:
    """When a segment is to be looked at."""
    del now
    times = [due_at(around, record, versions.fetch(connection, record.version_id)) for record in _looking(connection)]
    return min((at for at in times if at is not None), default=None)


# Asked each second: of a sequence that people enter otherwise no version is read.
_OF_SEGMENTS: Final = """
    FROM sequence AS s JOIN sequence_version AS v ON v.id = s.version_id
    WHERE s.state = 'active' AND v.definition #> '{file,enrol,segment}' IS NOT NULL
"""
_LOOKING: Final = text(f"SELECT s.name {_OF_SEGMENTS}")
#: There is a sequence that goes on, and that people enter from a segment.
IS_LOOKING: Final = f"EXISTS (SELECT {_OF_SEGMENTS})"


def _looking(connection: Connection) -> list[Record]:
    """The sequences that go on, and that people enter from a segment."""
    names = connection.execute(_LOOKING).scalars().all()
    return records.known(connection, names) if names else []


def due_at(around: Circumstances, record: Record, standing: Standing) -> datetime | None:
    """When the segment of the sequence is to be looked at; None: never, or never again."""
    asked = standing.definition.enrol
    if asked.segment is None:
        return None
    if record.looked_at is None:
        return record.since
    is_over = asked.mode == "once"
    return None if is_over else record.looked_at.astimezone(UTC) + max(asked.look_every, around.looks_apart)


def _enter(connection: Connection, record: Record, standing: Standing, now: datetime) -> int:
    people_stay(connection)
    members, limit = candidates(standing, now), standing.definition.limits.max_audience
    room = limit - _entered_today(connection, record, standing, now) if limit is not None else None
    most = _AT_ONCE if room is None else min(_AT_ONCE, max(room, 0) + 1)
    with connection.begin_nested() as entering:
        ids = enrol.begin(connection, standing, members.limit(most), source=SEGMENT, now=now)
        more = _count(connection, members) if len(ids) == _AT_ONCE and room is not None else 0
        if are_too_many := room is not None and len(ids) + more > room:
            entering.rollback()
    if are_too_many:
        _stop(connection, record, members, standing, now)
        return 0
    if len(ids) < _AT_ONCE:
        records.looked(connection, record.name, now)
    if len(ids) >= _ANALYZE_FROM:
        analyze(connection, "enrolment")
    return len(ids)


def candidates(standing: Standing, now: datetime) -> Select[Any]:
    """Members of the segment who may enter, in the shape `enrol.begin` takes."""
    asked, vocabulary = standing.definition.enrol, standing.version.vocabulary.plain
    people = audience(asked.segment or "", vocabulary, now=now).subquery("member")
    last = enrol.newest(standing, people.c.customer_id, literal("", Text))
    query = select(
        people.c.customer_id, literal("", Text).label("entry_key"), null().cast(Text).label("source_key"),
        literal({}, JSONB).label("given"),
    )  # fmt: skip
    query = query.select_from(people.outerjoin(last, true())).where(enrol.may_enter(standing, last, now))
    for excluded in asked.exclude:
        query = query.where(people.c.customer_id.not_in(audience(excluded, vocabulary, now=now)))
    return query


def _entered_today(connection: Connection, record: Record, standing: Standing, now: datetime) -> int:
    today = now.astimezone(ZoneInfo(standing.version.zone)).date()
    midnight = local_instant(datetime.combine(today, time()), standing.version.zone)
    entered = select(func.count()).where(enrolment.c.sequence == record.name, enrolment.c.entered_at >= midnight)
    return connection.execute(entered).scalar_one()


def _count(connection: Connection, members: Select[Any]) -> int:
    return connection.execute(select(func.count()).select_from(members.subquery())).scalar_one()


def _stop(
    connection: Connection, record: Record, members: Select[Any], standing: Standing, now: datetime
) -> None:  # fmt: skip
    """More would enter in this day than the sequence allows: it is paused until a person has looked."""
    total = _entered_today(connection, record, standing, now) + _count(connection, members)
    limit = standing.definition.limits.max_audience
    records.stop(connection, record.name, f"{total:,} people would enter today (limits.max_audience: {limit:,})")
