"""Campaigns of one time begin at the wall time of their file, also where a zone's rules changed since (S-8.1).

Messages that no worker has looked at are moved; what is held, was tried, or got another time since goes its own way.
"""

from datetime import datetime, time
from typing import Final

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from campaigns import versions
from campaigns.duty import Circumstances
from campaigns.timing import in_recipient_zone, zone_of
from campaigns.versions import Version
from core import audit
from core.arrays import Ids
from core.local_time import nearest_local, zone_or
from core.schema import batch, run

#: Batches that nobody has looked at.
_UNTOUCHED: Final = """
    FROM batch AS b
    WHERE b.run_id = :run AND b.state = 'ready' AND b.not_before > :now AND b.attempt_count = 0
      AND b.claim_count = 0 AND b.booked_at IS NULL
      AND NOT EXISTS (SELECT FROM message AS m WHERE m.id = ANY(b.message_ids) AND m.hold_reason IS NOT NULL)
"""
#: A batch that somebody takes now is theirs: it goes when it was to.
_LOCK: Final = text(f"SELECT b.id {_UNTOUCHED} ORDER BY b.id FOR UPDATE OF b SKIP LOCKED")
#: Everybody in these batches, each with their zone ('': unknown).
_WAITING: Final = """
    SELECT b.id AS batch_id, b.stage, b.not_before, m.id, coalesce(c.zone, '') AS zone
    FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS i (id) JOIN message AS m ON m.id = i.id
    LEFT JOIN customer AS c ON c.id = m.customer_id
    WHERE b.id = ANY(:batches)
"""
_ALL: Final = text(f"SELECT b.id {_UNTOUCHED}")
_PLACES: Final = text(f"SELECT DISTINCT zone, not_before FROM ({_WAITING}) AS waiting").bindparams(  # noqa: S608
    bindparam("batches", type_=Ids)
)
#: People of one zone may share a batch with those of another, whose rules are as they were: all are cut anew.
_MOVE: Final = text(f"""
    WITH waiting AS MATERIALIZED ({_WAITING}), gone AS (
        DELETE FROM batch WHERE id IN (SELECT batch_id FROM waiting) RETURNING id
    ), timed AS (
        SELECT w.stage, w.id, coalesce(k.at, w.not_before) AS at, k.at IS NOT NULL AS is_moved FROM waiting AS w
        LEFT JOIN unnest(CAST(:zones AS text[]), :was, :at) AS k (zone, was, at)
            ON k.zone = w.zone AND k.was = w.not_before
    ), moved AS (
        UPDATE message AS m SET not_before = t.at FROM timed AS t
        WHERE m.id = t.id AND t.is_moved AND m.state = 'planned'
        RETURNING m.not_before
    ), cut AS (
        INSERT INTO batch (run_id, stage, message_ids, not_before)
        SELECT :run, stage, array_agg(id ORDER BY id), at
        FROM (SELECT *, (row_number() OVER (PARTITION BY stage, at ORDER BY id) - 1) / :size AS slice FROM timed) AS t
        GROUP BY stage, at, slice ORDER BY stage, at, slice
    )
    SELECT count(*) AS messages, max(not_before) AS last FROM moved
""").bindparams(  # noqa: S608  no values
    bindparam("batches", type_=Ids),
    bindparam("was", type_=ARRAY(TIMESTAMP(True))),
    bindparam("at", type_=ARRAY(TIMESTAMP(True))),
)


def follow(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Messages that are to go later go at the instants that are meant by the rules of today; how many were moved.

    Where that instant is over, they go when they were to. Repeat: safe. Atomic with the connection's transaction.
    """
    coming = select(batch.c.id).where(batch.c.run_id == run.c.id, batch.c.state == "ready", batch.c.not_before > now)
    runs = select(run.c.id).where(run.c.state.in_(["running", "paused"]), ~run.c.open_ended, coming.exists())
    size = around.settings.workers.batch_size
    ids = connection.execute(runs.order_by(run.c.id)).scalars().all()
    return sum(_follow(connection, run_id, now, size) for run_id in ids)


def _follow(connection: Connection, run_id: int, now: datetime, size: int) -> int:
    version_id = connection.execute(select(run.c.version_id).where(run.c.id == run_id)).scalar_one()
    version = versions.fetch(connection, version_id)
    if version.definition.schedule is None or version.definition.schedule.at is None:
        return 0
    hour, found = version.definition.schedule.at.time(), {"run": run_id, "now": now}
    if not _moves(connection, version, hour, list(connection.execute(_ALL, found).scalars()), now):
        return 0
    locked = select(run).where(run.c.id == run_id, run.c.state.in_(["running", "paused"]))
    row = connection.execute(locked.with_for_update(key_share=True)).one_or_none()  # who adds a batch holds its run
    if row is None:
        return 0
    batches = list(connection.execute(_LOCK, found).scalars())
    moves = _moves(connection, version, hour, batches, now)
    if not moves:
        return 0
    columns = {"zones": [zone for zone, _ in moves], "was": [was for _, was in moves], "at": list(moves.values())}
    moved = connection.execute(_MOVE, columns | {"run": run_id, "batches": batches, "size": size}).one()
    starts_at, valid_for = row.starts_at, version.definition.limits.valid_for
    if starts_at > now:
        starts_at = max(now, nearest_local(starts_at, zone_of(version), hour))
    times = {"starts_at": starts_at, "valid_until": row.valid_until}
    if valid_for is not None and moved.last is not None:
        times["valid_until"] = max(row.valid_until, moved.last + valid_for)
    connection.execute(update(run).where(run.c.id == run_id).values(times))
    told = {"run": run_id, "messages": moved.messages}
    audit.record(connection, audit.ITSELF, "campaign.follow", f"campaign:{row.campaign}", at=now, **told)
    return int(moved.messages)


def _moves(
    connection: Connection, version: Version, hour: time, batches: list[int], now: datetime
) -> dict[tuple[str, datetime], datetime]:
    """Where the rules of today mean another instant than the one that is planned, by zone and planned instant."""
    places = connection.execute(_PLACES, {"batches": batches}).all()
    meant = {(zone, was): nearest_local(was, _place(version, zone), hour) for zone, was in places}
    return {place: at for place, at in meant.items() if at != place[1] and at > now}


def _place(version: Version, zone: str) -> str:
    """Whose clock people of the zone go by."""
    return zone_or(zone, version.organisation.zone) if in_recipient_zone(version) else zone_of(version)
