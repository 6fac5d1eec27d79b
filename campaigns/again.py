"""Messages sent again after their run was through with them: among the planned once more, in batches of their own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BIGINT, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns import batches
from campaigns.runs import WORK_CHANNEL
from core.arrays import Ids

# Attempts go on counting, so that each has a number of its own. Stage 0: whatever stage their run is in, they may go.
_CUT: Final = text("""
    INSERT INTO batch (run_id, queue, attempt_count, waits_from, message_ids, not_before)
    SELECT run_id, message_class, attempt_count, CASE WHEN :anew THEN attempt_count ELSE 0 END,
           array_agg(id ORDER BY id), :now
    FROM (
        SELECT m.id, m.run_id, m.attempt_count, v.message_class,
               (row_number() OVER (PARTITION BY m.run_id, m.attempt_count ORDER BY m.id) - 1) / :size AS slice
        FROM message AS m JOIN run AS r ON r.id = m.run_id JOIN campaign_version AS v ON v.id = r.version_id
        WHERE m.id = ANY(:ids) AND m.state = 'planned'
    ) AS sliced
    GROUP BY run_id, message_class, attempt_count, slice ORDER BY run_id, attempt_count, slice
    RETURNING run_id
""").bindparams(bindparam("ids", type_=Ids))
_RUN_AGAIN: Final = text("""
    UPDATE run SET state = 'running', finished_at = NULL WHERE id = ANY(:runs) AND state = 'finished'
""").bindparams(bindparam("runs", type_=ARRAY(BIGINT)))
# A batch that a worker holds, or that somebody else is at, is left alone: its hand-overs do not wait for this.
_LOCK_READY: Final = text("""
    WITH holding AS MATERIALIZED (
        SELECT b.id FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS held (id)
        JOIN unnest(:ids) AS wanted (id) ON wanted.id = held.id
        WHERE b.run_id IN (SELECT run_id FROM message WHERE id = ANY(:ids)) AND b.state = 'ready'
    )
    SELECT id FROM batch WHERE id IN (SELECT id FROM holding) AND state = 'ready'
    ORDER BY id FOR UPDATE SKIP LOCKED
""").bindparams(bindparam("ids", type_=Ids))
# A statement of its own: it sees what was committed before the locks were had.
_TAKE_OUT: Final = text("""
    WITH over AS MATERIALIZED (
        SELECT id, run_id FROM message WHERE id = ANY(:ids) AND state IN ('failed', 'unknown')
    ), elsewhere AS MATERIALIZED (
        SELECT held.id FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS held (id)
        WHERE b.run_id IN (SELECT run_id FROM over) AND b.state <> 'done' AND NOT b.id = ANY(:locked)
    ), free AS MATERIALIZED (
        SELECT over.id FROM over LEFT JOIN elsewhere ON elsewhere.id = over.id WHERE elsewhere.id IS NULL
    ), kept AS (
        SELECT b.id, array_agg(held.id ORDER BY held.id) FILTER (WHERE free.id IS NULL) AS message_ids
        FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS held (id) LEFT JOIN free ON free.id = held.id
        WHERE b.id = ANY(:locked) GROUP BY b.id
    ), taken AS (
        UPDATE batch SET message_ids = coalesce(kept.message_ids, '{}') FROM kept WHERE batch.id = kept.id
    )
    SELECT id FROM free ORDER BY id
""").bindparams(bindparam("ids", type_=Ids), bindparam("locked", type_=Ids))
# Whoever ends runs looks at their batches when it has this lock: it finds the new ones.
_LOCK_RUNS: Final = text("""
    SELECT id FROM run WHERE id IN (SELECT run_id FROM message WHERE id = ANY(:ids)) ORDER BY id FOR NO KEY UPDATE
""").bindparams(bindparam("ids", type_=Ids))


def take_out(connection: Connection, message_ids: Sequence[int]) -> list[int]:
    """Those of the messages that are over (failed, or in doubt) and in no open batch, or out of it from now on.

    Only they may be planned again. Not among them is what a worker still has in hands, and what somebody else has
    planned meanwhile. Called before they are planned: claims too lock batches before messages.
    """
    ids = sorted(set(message_ids))
    if not ids:
        return []
    locked = list(connection.execute(_LOCK_READY, {"ids": ids}).scalars())
    return list(connection.execute(_TAKE_OUT, {"ids": ids, "locked": locked}).scalars())


def send_again(
    connection: Connection, message_ids: Sequence[int], *, anew: bool, size: int, now: datetime
) -> list[int]:
    """These messages, planned and in no batch, wait in batches of at most `size`; their runs' ids are returned.

    A finished run is running again; of a cancelled one they are skipped. `anew`: a server that says "later" is asked as
    long as a first time, else what is left of that counts on. Atomic with the connection's transaction.
    """
    connection.execute(_LOCK_RUNS, {"ids": list(message_ids)})
    given = {"ids": list(message_ids), "anew": anew, "size": size, "now": now}
    runs = sorted(set(connection.execute(_CUT, given).scalars()))
    connection.execute(_RUN_AGAIN, {"runs": runs})
    for run_id in runs:
        batches.settle_stopped(connection, now, run_id=run_id)
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    return runs
