"""Mail that waits for somebody who is erased: it is skipped at once, also out of a worker's hands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, text

from core.arrays import Ids

ERASED: Final = "erased"

#: A worker's statement holds its batch before it changes messages; taken in the same order, nobody waits in a circle.
_HOLD: Final = text("""
    SELECT b.id FROM batch AS b
    WHERE b.state <> 'done' AND b.message_ids && :ids
      AND b.run_id IN (SELECT run_id FROM message WHERE id = ANY(:ids))
    ORDER BY b.id FOR NO KEY UPDATE
""").bindparams(bindparam("ids", type_=Ids))

#: As the ledger skips (`campaigns.ledger.skip`, which is above this room): what may have arrived is in doubt instead.
_SKIP: Final = text("""
    WITH waiting AS (
        SELECT m.id, m.state = 'deferred' AND EXISTS (
            SELECT 1 FROM attempt AS a
            WHERE a.message_id = m.id AND a.outcome = 'unknown'
              AND a.number > coalesce((SELECT max(p.number) FROM attempt AS p
                                       WHERE p.message_id = m.id AND p.outcome = 'planned'), 0)
        ) AS may_have_arrived
        FROM message AS m WHERE m.id = ANY(:ids) AND m.state IN ('planned', 'deferred')
    )
    UPDATE message
    SET state = CASE WHEN may_have_arrived THEN 'unknown' ELSE 'skipped' END::message_state,
        skip_reason = CASE WHEN may_have_arrived THEN NULL ELSE :reason END, hold_reason = NULL, state_at = :now
    FROM waiting WHERE message.id = waiting.id AND message.state IN ('planned', 'deferred')
    RETURNING message.id
""").bindparams(bindparam("ids", type_=Ids))


def skip_waiting(connection: Connection, message_ids: Sequence[int], now: datetime) -> int:
    """None of the messages is handed over any more; how many waited is returned. Repeat: safe.

    One that was handed over already stays so: it cannot be called back, and its answer is awaited.
    """
    if not message_ids:
        return 0
    connection.execute(_HOLD, {"ids": message_ids})
    return len(connection.execute(_SKIP, {"ids": message_ids, "reason": ERASED, "now": now}).all())
