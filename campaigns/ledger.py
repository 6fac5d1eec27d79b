"""The ledger: one row per person of an audience, and the claims under which workers move it.

A worker claims a batch under a lease, hands its messages over in windows (`campaigns.window`), and closes it
(`campaigns.batches`). Claiming touches the batch alone: a message stays planned, or deferred, until the statement
that hands it over, which is committed before the final dot leaves the process. So a worker killed at any instant
leaves at most the messages of its open window in doubt. A bulk message in doubt becomes `unknown` and is not sent
again by itself; a transactional one is owed to its recipient, and is sent again with the same bytes (S-1.33).
Leases use the database's clock; `claim_count` is the fencing token of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Row,
    Select,
    Text,
    any_,
    bindparam,
    case,
    func,
    select,
    text,
)

from campaigns.states import WAITING, State
from campaigns.watch import Watch
from core.arrays import Ids, among
from core.clock import up_s
from core.schema import customer, message
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch in this worker's hands. `token` fences it: a later claim of the same batch has another one, or, where the
    database failed over and forgot this one, another worker."""

    batch_id: int
    token: int
    run_id: int
    version_id: int
    campaign: str
    topic: str
    message_class: str
    message_ids: tuple[int, ...]  # those to be sent now
    lease: timedelta
    worker: str
    policy: Policy  # what the gate is asked with
    repeats: bool | None = None  # whether what is in doubt is sent again; None: if it is transactional
    by_behaviour: bool = False  # whether its audience was chosen by what people did
    wishes: bool = False  # whether anybody said how often they want to be written to
    watch: Watch | None = None  # what is looked at before each hand-over; None: nothing but the gate
    leased_at: float = field(default_factory=up_s, compare=False)  # by `core.clock.up_s`

    @property
    def sends_again(self) -> bool:
        """Whether a message in doubt is sent again."""
        return self.message_class == TRANSACTIONAL if self.repeats is None else self.repeats


_CLAIM_BATCH: Final = text("""
    WITH before AS (SELECT id, worker, state FROM batch WHERE id = :batch_id FOR UPDATE)
    UPDATE batch SET state = 'claimed', lease_until = now() + :lease, worker = :worker, claim_count = claim_count + 1
    FROM before, run JOIN campaign_version AS v ON v.id = run.version_id
    WHERE batch.id = before.id AND run.id = batch.run_id AND run.state = 'running' AND batch.not_before <= :now
      AND batch.stage <= run.stage
      AND (batch.state = 'ready' OR (batch.state = 'claimed' AND batch.lease_until < now()))
    RETURNING batch.claim_count, batch.message_ids, batch.attempt_count, batch.waits_from, batch.run_id,
              run.version_id, run.campaign, v.topic, v.message_class, v.by_behaviour, v.valid_for, run.valid_until,
              v.repeats,
              before.worker AS previous_worker, before.state = 'claimed' AS was_lost,
              EXISTS (SELECT 1 FROM preference WHERE most_messages IS NOT NULL) AS wishes
""")
#: A worker may be lost for any reason, once; from this claim on its batch may be what it is lost by.
_CLAIMS_IN_VAIN: Final = 3
_SAY_IN_VAIN: Final = text("""
    UPDATE run SET fault = :fault
    WHERE id = :run_id
      AND NOT EXISTS (SELECT 1 FROM attempt WHERE message_id = ANY(:ids) AND worker = :worker)
""").bindparams(bindparam("ids", type_=Ids))
_IN_VAIN: Final = (
    "batch {batch_id} was taken {times} times, and the last time worker {worker} was lost before it sent anything: see "
    "its log, or that of its machine if it ran out of memory"
)


def claim(
    connection: Connection, batch_id: int, *, worker: str, lease: timedelta, policy: Policy, now: datetime
) -> Claim | None:
    """The batch is this worker's; None when it is not to be had.

    The gate is asked in this transaction: who opted out since the plan is skipped here, and again at the hand-over.
    What a lost worker had handed over is settled as in doubt; if it had not come so far, and was not the first, the run
    says so. Repeat: safe, a held batch is not given twice.
    """
    leased_at = up_s()
    given = {"batch_id": batch_id, "worker": worker, "lease": lease, "now": now}
    row = connection.execute(_CLAIM_BATCH, given).one_or_none()
    if row is None:
        return None
    ids = list(row.message_ids)
    if row.claim_count > 1:
        doubt(connection, ids, worker=row.previous_worker, why="the worker was lost", now=now)
    if row.was_lost and row.claim_count >= _CLAIMS_IN_VAIN:
        said = _IN_VAIN.format(batch_id=batch_id, times=row.claim_count - 1, worker=row.previous_worker)
        lost = {"run_id": row.run_id, "ids": ids, "worker": row.previous_worker}
        connection.execute(_SAY_IN_VAIN, lost | {"fault": said})
    if row.valid_until is not None and now > row.valid_until:
        skip(connection, ids, "expired", now)
    if row.valid_for is not None:  # of a transactional campaign, whose run is open-ended
        late = select(message.c.id).where(among(message.c.id, ids), message.c.not_before + row.valid_for < now)
        skip(connection, list(connection.execute(late).scalars()), "expired", now)
    asked = _asked(row.topic, row.campaign, row.message_class, policy, by_behaviour=row.by_behaviour)
    return Claim(
        batch_id=batch_id,
        token=row.claim_count,
        run_id=row.run_id,
        version_id=row.version_id,
        campaign=row.campaign,
        topic=row.topic,
        message_class=row.message_class,
        message_ids=_sendable(connection, asked, row, now),
        lease=lease,
        worker=worker,
        policy=policy,
        repeats=row.repeats,
        by_behaviour=row.by_behaviour,
        wishes=row.wishes,
        leased_at=leased_at,
    )


@lru_cache(maxsize=256)
def _asked(
    topic: str, campaign: str, message_class: str, policy: Policy, *, by_behaviour: bool
) -> Select[int, str | None]:
    """Those of the messages `ids` that wait, each with what stands against it. One that a lost worker's server put off
    waits its time: at `most` so many attempts were made. Put together once, which took 3 ms a batch."""
    gate = skip_reason(
        message.c.customer_id, message.c.address_key,
        topic=topic, campaign=campaign, now=bindparam("now", type_=DateTime(timezone=True)), policy=policy,
        message_class=message_class, by_behaviour=by_behaviour,
    )  # fmt: skip
    is_due = (message.c.state == State.PLANNED) | (message.c.attempt_count <= bindparam("most", type_=Integer))
    return select(message.c.id, func.coalesce(_moved_away(), gate).label("reason")).where(
        message.c.id == any_(bindparam("ids", type_=Ids)), message.c.state.in_(WAITING), is_due
    )


def _sendable(connection: Connection, asked: Select[int, str | None], row: Row[Any], now: datetime) -> tuple[int, ...]:
    """Those of the claimed batch's messages that nothing stands against; the others are skipped.

    One in doubt that is sent again waits its time too, but for its first: a message may be what its workers are lost
    by.
    """
    repeats = row.message_class == TRANSACTIONAL if row.repeats is None else row.repeats
    tried_at_once = row.waits_from + 1 if repeats else 0
    given = {"ids": list(row.message_ids), "most": max(row.attempt_count, tried_at_once), "now": now}
    reasons = dict(connection.execute(asked, given).all())
    for reason in {reason for reason in reasons.values() if reason is not None}:
        skip(connection, [message_id for message_id, found in reasons.items() if found == reason], reason, now)
    return tuple(sorted(message_id for message_id, reason in reasons.items() if reason is None))


def _moved_away() -> ColumnElement[str | None]:
    """SQL: the gate and the unique index know a message by the address it was frozen with. A customer who has another
    one by now is not written to at either: nobody asked the gate about the new one."""
    present = select(customer.c.address_key).where(customer.c.id == message.c.customer_id).scalar_subquery()
    return case((present.is_distinct_from(message.c.address_key), "address_changed"))


_DOUBT: Final = text("""
    WITH handed_over AS (
        SELECT id, state_at FROM message WHERE id = ANY(:ids) AND state = 'handed_over'
    ), lost AS (
        UPDATE message
        SET state = CASE WHEN coalesce(v.repeats, v.message_class = 'transactional')
                              AND run.state <> 'cancelled' THEN 'deferred'
                         ELSE 'unknown' END::message_state,
            state_at = :now
        FROM handed_over CROSS JOIN run JOIN campaign_version AS v ON v.id = run.version_id
        WHERE message.id = handed_over.id AND message.state = 'handed_over' AND run.id = message.run_id
        RETURNING message.id, message.attempt_count, handed_over.state_at AS since
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, reply, answered_at)
    SELECT id, attempt_count, '', :worker, 'unknown',
           format('%s after the hand-over at %s UTC', CAST(:why AS text),
                  to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')), :now
    FROM lost
""").bindparams(bindparam("ids", type_=Ids))


def doubt(connection: Connection, message_ids: Sequence[int], *, worker: str, why: str, now: datetime) -> None:
    """Those of the messages that were handed over and never answered are in doubt; when that was is on record, and why:
    bulk ones and those of a cancelled run `unknown`, transactional ones deferred, to be sent again. Repeat: safe."""
    given = {"ids": list(message_ids), "worker": worker, "why": why, "now": now}
    connection.execute(_DOUBT, given)


#: SQL: how often the message `m` was handed over without an answer, since it was last planned by a person.
DOUBTS: Final = """
    (SELECT count(*) FROM attempt AS a
     WHERE a.message_id = m.id AND a.outcome = 'unknown'
       AND a.number > coalesce((SELECT max(p.number) FROM attempt AS p
                                WHERE p.message_id = m.id AND p.outcome = 'planned'), 0))
"""
_SKIP: Final = text(
    """
    WITH waiting AS (
        SELECT m.id, m.state = 'deferred' AND {doubts} > 0 AS may_have_arrived
        FROM message AS m WHERE m.id = ANY(:ids) AND m.state IN ('planned', 'deferred')
    ), skipped AS (
        UPDATE message
        SET state = CASE WHEN may_have_arrived THEN 'unknown' ELSE 'skipped' END::message_state,
            skip_reason = CASE WHEN may_have_arrived THEN NULL WHEN :reason <> 'expired' THEN :reason
                               WHEN hold_reason = 'quiet_hours' THEN 'quiet_too_long'
                               ELSE coalesce(hold_reason, :reason) END,
            hold_reason = NULL, state_at = :now
        FROM waiting WHERE message.id = waiting.id AND message.state IN ('planned', 'deferred')
        RETURNING message.id, message.state
    )
    DELETE FROM kept_content AS k USING skipped WHERE k.message_id = skipped.id AND skipped.state = 'skipped'
""".replace("{doubts}", DOUBTS)
).bindparams(bindparam("ids", type_=Ids), bindparam("reason", type_=Text))


def skip(connection: Connection, message_ids: Sequence[int], reason: str, now: datetime) -> None:
    """Those of the messages that wait are skipped for `reason`; one that may have arrived becomes `unknown`.

    One that expires while it is held is told by what holds it.

    Locks messages: call it with their batch in hands. Repeat: safe.
    """
    if message_ids:
        connection.execute(_SKIP, {"ids": list(message_ids), "reason": reason, "now": now})
