"""The ledger: one row per person of an audience, and the only statements that move it from state to state.

A worker claims a batch under a lease, hands messages over in windows, and closes the batch. Each hand-over is
committed before its final dot leaves the process, so a worker killed at any instant leaves at most the messages
of its open window in doubt; those become `unknown` and are never sent again by themselves.
Leases use the database's clock; `claim_count` is the fencing token of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, case, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from campaigns.states import State
from core.schema import customer, message
from suppression.gate import skip_reason


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch in this worker's hands. `token` fences it: a later claim of the same batch has another one."""

    batch_id: int
    token: int
    run_id: int
    version_id: int
    campaign: str
    topic: str
    message_ids: tuple[int, ...]  # those to be sent now
    lease: timedelta
    worker: str


_CLAIM_BATCH = text("""
    WITH before AS (SELECT id, worker FROM batch WHERE id = :batch_id FOR UPDATE)
    UPDATE batch SET state = 'claimed', lease_until = now() + :lease, worker = :worker, claim_count = claim_count + 1
    FROM before, run JOIN campaign_version AS v ON v.id = run.version_id
    WHERE batch.id = before.id AND run.id = batch.run_id AND run.state = 'running' AND batch.not_before <= :now
      AND (batch.state = 'ready' OR (batch.state = 'claimed' AND batch.lease_until < now()))
    RETURNING batch.claim_count, batch.message_ids, batch.run_id, run.version_id, run.campaign, v.topic,
              run.valid_until, before.worker AS previous_worker
""")
_DOUBT = text("""
    WITH lost AS (
        UPDATE message SET state = 'unknown', state_at = :now
        WHERE id = ANY(:ids) AND state = 'handed_over' RETURNING id, attempt_count
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, reply, answered_at)
    SELECT id, attempt_count, '', :worker, 'unknown', :why, :now FROM lost
""").bindparams(bindparam("ids", type_=ARRAY(BIGINT)))


def claim(connection: Connection, batch_id: int, *, worker: str, lease: timedelta, now: datetime) -> Claim | None:
    """The batch is this worker's, and its sendable messages are `claimed`; None when it is not to be had.

    The gate is asked in this transaction: who opted out since the plan is skipped here. Messages that a lost
    worker had handed over become `unknown`. Repeat: safe, a held batch is not given twice.
    """
    given = {"batch_id": batch_id, "worker": worker, "lease": lease, "now": now}
    row = connection.execute(_CLAIM_BATCH, given).one_or_none()
    if row is None:
        return None
    ids = list(row.message_ids)
    if row.claim_count > 1:
        doubt(connection, ids, worker=row.previous_worker, why="the worker was lost after the hand-over", now=now)
    if row.valid_until is not None and now > row.valid_until:
        skip(connection, ids, "expired", now)
    claimed = _claim_messages(connection, ids, row.topic, row.campaign, now)
    return Claim(batch_id, row.claim_count, row.run_id, row.version_id, row.campaign, row.topic, claimed, lease, worker)


def doubt(connection: Connection, message_ids: Sequence[int], *, worker: str, why: str, now: datetime) -> None:
    """Those of the messages that were handed over and never answered are `unknown`, with the reason on record."""
    given = {"ids": list(message_ids), "worker": worker, "why": why, "now": now}
    connection.execute(_DOUBT, given)


def _claim_messages(
    connection: Connection, ids: list[int], topic: str, campaign: str, now: datetime
) -> tuple[int, ...]:
    claimable = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    gate = skip_reason(message.c.customer_id, message.c.address_key, topic=topic, campaign=campaign, now=now)
    asked = (
        select(message.c.id, func.coalesce(_moved_away(), gate).label("reason"))
        .where(message.c.id.in_(ids), claimable)
        .cte("asked")
        .prefix_with("MATERIALIZED")
    )
    moved = (
        update(message)
        .where(message.c.id == asked.c.id)
        .values(state=skipped_or(State.CLAIMED, asked.c.reason), skip_reason=asked.c.reason, state_at=now)
        .returning(message.c.id, message.c.skip_reason)
    )
    rows = connection.execute(moved).all()
    return tuple(sorted(row.id for row in rows if row.skip_reason is None))


def _moved_away() -> ColumnElement[str | None]:
    """SQL: the gate and the unique index know a message by the address it was frozen with. A customer who has another
    one by now is not written to at either: nobody asked the gate about the new one."""
    present = select(customer.c.address_key).where(customer.c.id == message.c.customer_id).scalar_subquery()
    return case((present.is_distinct_from(message.c.address_key), "address_changed"))


def skipped_or(otherwise: State, reason: ColumnElement[str | None]) -> ColumnElement[str]:
    """SQL: `skipped` where there is a reason, else the other state."""
    return cast(case((reason.is_not(None), State.SKIPPED.value), else_=otherwise.value), message.c.state.type)


def skip(connection: Connection, message_ids: Sequence[int], reason: str, now: datetime) -> None:
    """Those of the messages that were not handed over are skipped for `reason`. Repeat: safe."""
    if not message_ids:
        return
    waiting = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    values = {"state": State.SKIPPED, "skip_reason": reason, "state_at": now}
    connection.execute(update(message).where(message.c.id.in_(message_ids), waiting).values(**values))
