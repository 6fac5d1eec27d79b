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


# The batch they were in may be under way with other messages; it must not send these too.
_TAKE_OUT: Final = text("""
    WITH open AS (
        SELECT b.id FROM batch AS b
        WHERE b.run_id IN (SELECT run_id FROM message WHERE id = ANY(:ids))
          AND b.state <> 'done' AND b.message_ids && :ids
        ORDER BY b.id FOR UPDATE
    )
    UPDATE batch SET message_ids = ARRAY(SELECT unnest(message_ids) EXCEPT SELECT unnest(:ids) ORDER BY 1)
    FROM open WHERE batch.id = open.id
""").bindparams(bindparam("ids", type_=Ids))


def take_out(connection: Connection, message_ids: Sequence[int]) -> None:
    """These messages, which nobody is sending, are in no open batch.

    Called before they are planned: claims too lock batches before messages.
    """
    connection.execute(_TAKE_OUT, {"ids": list(message_ids)})


def send_again(
    connection: Connection, message_ids: Sequence[int], *, anew: bool, size: int, now: datetime
) -> list[int]:
    """These messages, planned and in no batch, wait in batches of at most `size`; their runs' ids are returned.

    A finished run is running again; of a cancelled one they are skipped. `anew`: a server that says "later" is asked as
    long as a first time, else what is left of that counts on. Atomic with the connection's transaction.
    """
    given = {"ids": list(message_ids), "anew": anew, "size": size, "now": now}
    runs = sorted(set(connection.execute(_CUT, given).scalars()))
    connection.execute(_RUN_AGAIN, {"runs": runs})
    for run_id in runs:
        batches.settle_stopped(connection, now, run_id=run_id)
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    return runs
