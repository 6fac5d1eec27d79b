"""Messages that wait for a reason of their recipients', in batches of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, Connection, DateTime, Text, bindparam, text

from campaigns.ledger import Claim
from core.arrays import Ids


@dataclass(frozen=True, slots=True)
class Hold:
    """One message that waits for a reason, and when it is looked at again."""

    message_id: int
    reason: str
    until: datetime


# A night does not count, and caps do not go by how long a case was open, nor cases by caps.
_HELD_AT: Final = """
    CASE WHEN {reason} = 'quiet_hours' THEN m.held_at
         WHEN m.hold_reason <> {reason} AND m.hold_reason <> 'quiet_hours' THEN :now
         ELSE coalesce(m.held_at, :now) END
"""

# Batches are locked before messages, as claims do. What would come too late anyway is looked at as soon as it has
# expired, so that its run can end.
_PUT_OFF: Final = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT b.id, b.run_id, b.queue, b.stage, b.attempt_count, b.waits_from, run.valid_until
        FROM batch AS b JOIN run ON run.id = b.run_id
        WHERE b.id = :batch_id AND b.claim_count = :token AND b.worker = :worker AND b.state = 'claimed'
        FOR NO KEY UPDATE OF b
    ), moved AS (
        UPDATE message AS m
        SET hold_reason = h.reason, not_before = least(h.until, mine.valid_until + interval '1 second'),
            held_at = {held_at}
        FROM unnest(:ids, :reasons, :untils) AS h (id, reason, until), mine
        WHERE m.id = h.id AND m.state IN ('planned', 'deferred')
        RETURNING m.id, m.hold_reason, m.not_before
    ), shrunk AS (
        UPDATE batch
        SET message_ids = ARRAY(SELECT unnest(batch.message_ids) EXCEPT SELECT moved.id FROM moved ORDER BY 1)
        FROM mine WHERE batch.id = mine.id
    ), waiting AS (
        INSERT INTO batch (run_id, queue, stage, attempt_count, waits_from, message_ids, not_before)
        SELECT mine.run_id, mine.queue, mine.stage, mine.attempt_count, mine.waits_from,
               array_agg(moved.id ORDER BY moved.id), moved.not_before
        FROM moved, mine
        GROUP BY mine.run_id, mine.queue, mine.stage, mine.attempt_count, mine.waits_from, moved.hold_reason,
                 moved.not_before
    )
    SELECT id FROM moved
""".replace("{held_at}", _HELD_AT.replace("{reason}", "h.reason"))
).bindparams(
    bindparam("ids", type_=Ids),
    bindparam("reasons", type_=ARRAY(Text)),
    bindparam("untils", type_=ARRAY(DateTime(timezone=True))),
    bindparam("now", type_=DateTime(timezone=True)),
)


# The batch holds nobody else: what is looked at every quarter of an hour for days makes no row each time.
_PUT_FORWARD: Final = text(
    """
    WITH mine AS (
        UPDATE batch SET state = 'ready', published_at = NULL, booked_at = NULL,
                         not_before = least(:until, run.valid_until + interval '1 second')
        FROM run
        WHERE batch.id = :batch_id AND batch.claim_count = :token AND batch.worker = :worker AND batch.state = 'claimed'
          AND run.id = batch.run_id AND batch.message_ids <@ :ids
        RETURNING batch.not_before
    )
    UPDATE message AS m
    SET hold_reason = :reason, not_before = mine.not_before,
        held_at = {held_at}
    FROM mine WHERE m.id = ANY(:ids) AND m.state IN ('planned', 'deferred') RETURNING m.id
""".replace("{held_at}", _HELD_AT.replace("{reason}", ":reason"))
).bindparams(
    bindparam("ids", type_=Ids),
    bindparam("reason", type_=Text),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("now", type_=DateTime(timezone=True)),
)


def put_off(connection: Connection, held: Claim, holds: Sequence[Hold], now: datetime) -> list[int]:
    """The held messages are in batches of their own, one for each reason and time; their ids are returned.

    They stay planned, or deferred, with their reason and their new time. Where a whole batch waits for one reason and
    time it is that batch, and no claim is held any more. Nothing happens when the lease is lost.
    Atomic: yes, one statement. Repeat: safe.
    """
    if not holds:
        return []
    given = {
        "batch_id": held.batch_id, "token": held.token, "worker": held.worker, "now": now,
        "ids": [hold.message_id for hold in holds], "reasons": [hold.reason for hold in holds],
        "untils": [hold.until for hold in holds],
    }  # fmt: skip
    if len({(hold.reason, hold.until) for hold in holds}) == 1:
        forward = given | {"reason": holds[0].reason, "until": holds[0].until}
        if moved := list(connection.execute(_PUT_FORWARD, forward).scalars()):
            return moved
    return list(connection.execute(_PUT_OFF, given).scalars())
