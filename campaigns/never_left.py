"""Messages in doubt of which their worker proves that they never left: they are sent after all."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, text

from campaigns.ledger import Claim
from core.arrays import Ids

# One that its batch still holds goes with that; for the others there is a batch of their own. A run that is about to
# finish is waited for, and goes on.
_PLAN: Final = text("""
    WITH mine AS MATERIALIZED (
        SELECT run_id, queue, waits_from, CASE WHEN state <> 'done' THEN message_ids ELSE '{}' END AS holds
        FROM batch WHERE id = :batch_id FOR NO KEY UPDATE
    ), back AS (
        UPDATE message AS m SET state = 'planned', state_at = :now, held_at = NULL
        FROM mine, unnest(:ids, :tried) AS proved (id, tried)
        WHERE m.id = proved.id AND m.run_id = mine.run_id AND m.state = 'unknown'
          AND m.attempt_count = proved.tried + 1
        RETURNING m.id, m.attempt_count
    ), noted AS (
        INSERT INTO attempt (message_id, number, transport, worker, outcome, reply, answered_at)
        SELECT id, attempt_count, '', :worker, 'planned', 'its worker says that it never left', :now FROM back
    ), going_on AS (
        UPDATE run SET state = 'running', finished_at = NULL FROM mine
        WHERE run.id = mine.run_id AND run.state IN ('running', 'finished') AND EXISTS (SELECT 1 FROM back)
    )
    INSERT INTO batch (run_id, queue, attempt_count, waits_from, message_ids, not_before)
    SELECT mine.run_id, mine.queue, back.attempt_count, mine.waits_from, array_agg(back.id ORDER BY back.id), :now
    FROM back, mine WHERE back.id <> ALL (mine.holds)
    GROUP BY mine.run_id, mine.queue, back.attempt_count, mine.waits_from
""").bindparams(bindparam("ids", type_=Ids), bindparam("tried", type_=Ids))


def plan_again(
    connection: Connection, held: Claim, message_ids: Sequence[int], tried: Mapping[int, int], now: datetime
) -> None:
    """Those of the messages that are `unknown` since this claim handed them over are planned, and wait for a worker.

    `tried`: attempts before that hand-over. A finished run is running again. Repeat: safe.
    """
    given = {"batch_id": held.batch_id, "worker": held.worker, "now": now, "ids": list(message_ids)}
    connection.execute(_PLAN, given | {"tried": [tried.get(message_id, 0) for message_id in message_ids]})
