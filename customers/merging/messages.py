"""The messages of a merged customer: all name the one that is left, each run writes to the person once.

Writes message. In a run that had both customers one message keeps the name, the other goes on without: the ledger
loses no row. What waits to be sent goes to the address that is left.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, text

from core.arrays import Ids

#: The skip reason of a message to somebody who gets another of the same run.
DUPLICATE_PERSON: Final = "duplicate_person"

#: Batches are locked before messages, as workers do.
_LOCK_BATCHES: Final = text("""
    SELECT b.id FROM batch AS b
    WHERE b.state <> 'done' AND b.run_id IN (SELECT run_id FROM message WHERE customer_id = ANY(:people))
      AND b.message_ids && ARRAY(
          SELECT id FROM message WHERE customer_id = ANY(:people) AND state IN ('planned', 'handed_over', 'deferred')
      )
    ORDER BY b.id FOR NO KEY UPDATE
""").bindparams(bindparam("people", type_=Ids))

# Of two messages of one run the name stays with the one that went out, else with the customer's who is left.
_PAIRS: Final = """
    WITH pair AS (
        SELECT mine.id AS mine_id, theirs.id AS theirs_id,
               CASE WHEN mine.state NOT IN ('planned', 'skipped') AND theirs.state IN ('planned', 'skipped')
                    THEN theirs.id ELSE mine.id END AS loser_id
        FROM message AS mine JOIN message AS theirs USING (run_id, occurrence)
        WHERE mine.customer_id = :merged_id AND theirs.customer_id = :into_id
    )
"""
# One that was tried is left to its worker and to what becomes of it.
_SKIP_SECOND: Final = text(f"""
    {_PAIRS}
    UPDATE message SET state = 'skipped', skip_reason = '{DUPLICATE_PERSON}', state_at = :now, hold_reason = NULL
    FROM pair WHERE message.id = pair.loser_id AND message.state = 'planned' AND message.attempt_count = 0
""")  # noqa: S608  made of our own names
_NAME_ONE: Final = text(f"""
    {_PAIRS}
    UPDATE message SET customer_id = NULL FROM pair WHERE message.id = pair.loser_id
""")  # noqa: S608  made of our own names
_MOVE: Final = text("UPDATE message SET customer_id = :into_id WHERE customer_id = :merged_id")

# What a worker has in hands keeps its address: its bytes are made.
_WAITING: Final = """
    WITH waiting AS (
        SELECT m.id, EXISTS (
            SELECT 1 FROM message AS other
            WHERE (other.campaign, other.step, other.occurrence) = (m.campaign, m.step, m.occurrence)
              AND other.address_key = :new_key AND other.skip_reason IS NULL
        ) AS is_second
        FROM message AS m
        WHERE m.customer_id = :into_id AND m.address_key = :old_key AND m.state = 'planned' AND m.attempt_count = 0
          AND EXISTS (SELECT 1 FROM batch AS b
                      WHERE b.run_id = m.run_id AND b.state = 'ready' AND b.message_ids @> ARRAY[m.id])
    )
"""
_SKIP_WAITING: Final = text(f"""
    {_WAITING}
    UPDATE message SET state = 'skipped', skip_reason = '{DUPLICATE_PERSON}', state_at = :now, hold_reason = NULL
    FROM waiting WHERE message.id = waiting.id AND waiting.is_second
""")  # noqa: S608  made of our own names
_READDRESS: Final = text(f"""
    {_WAITING}
    UPDATE message SET address_key = :new_key FROM waiting WHERE message.id = waiting.id AND NOT waiting.is_second
""")  # noqa: S608  made of our own names


def hand_over_messages(
    connection: Connection, merged_id: int, into_id: int, *, old_key: object, new_key: object, now: datetime
) -> int:
    """Every message of the one customer is the other's, except a second one of the same run; returns how many moved.

    `old_key` and `new_key` are the addresses of the two. Called while both rows of customer are still there.
    """
    pair = {"merged_id": merged_id, "into_id": into_id}
    connection.execute(_LOCK_BATCHES, {"people": [merged_id, into_id]})
    connection.execute(_SKIP_SECOND, pair | {"now": now})
    connection.execute(_NAME_ONE, pair)
    moved = connection.execute(_MOVE, pair).rowcount
    if old_key is not None and new_key is not None and old_key != new_key:
        keys = {"into_id": into_id, "old_key": old_key, "new_key": new_key}
        connection.execute(_SKIP_WAITING, keys | {"now": now})
        connection.execute(_READDRESS, keys)
    return moved
