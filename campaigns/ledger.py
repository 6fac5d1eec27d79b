"""The ledger: one row per person of an audience, and the only statements that move it from state to state.

A worker claims a batch under a lease, hands messages over in windows, and closes the batch. Each hand-over is
committed before its final dot leaves the process, so a worker killed at any instant leaves at most the messages
of its open window in doubt; those become `unknown` and are never sent again by themselves.
Leases use the database's clock; `claim_count` is the fencing token of a batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, case, cast, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, BOOLEAN, INTEGER, TEXT

from campaigns.states import State
from core.schema import message
from delivery.smtp import Outcome, OutcomeState
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
    UPDATE batch SET state = 'claimed', lease_until = now() + :lease, worker = :worker, claim_count = claim_count + 1
    FROM run JOIN campaign_version AS v ON v.id = run.version_id
    WHERE batch.id = :batch_id AND run.id = batch.run_id AND run.state = 'running' AND batch.not_before <= :now
      AND (batch.state = 'ready' OR (batch.state = 'claimed' AND batch.lease_until < now()))
    RETURNING batch.claim_count, batch.message_ids, batch.run_id, run.version_id, run.campaign, v.topic, run.valid_until
""")
_RECOVER = text("""
    WITH lost AS (
        UPDATE message SET state = 'unknown', state_at = :now
        WHERE id = ANY(:ids) AND state = 'handed_over' RETURNING id, attempt_count
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, reply, answered_at)
    SELECT id, attempt_count, '', :worker, 'unknown', 'the worker was lost after the hand-over', :now FROM lost
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
        connection.execute(_RECOVER, {"ids": ids, "now": now, "worker": worker})
    if row.valid_until is not None and now > row.valid_until:
        skip(connection, ids, "expired", now)
    claimed = _claim_messages(connection, ids, row.topic, row.campaign, now)
    return Claim(batch_id, row.claim_count, row.run_id, row.version_id, row.campaign, row.topic, claimed, lease, worker)


def _claim_messages(
    connection: Connection, ids: list[int], topic: str, campaign: str, now: datetime
) -> tuple[int, ...]:
    claimable = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    reason = skip_reason(message.c.customer_id, message.c.address_key, topic=topic, campaign=campaign, now=now)
    asked = select(message.c.id, reason.label("reason")).where(message.c.id.in_(ids), claimable).cte("asked")
    moved = (
        update(message)
        .where(message.c.id == asked.c.id)
        .values(state=_skipped_or(State.CLAIMED, asked.c.reason), skip_reason=asked.c.reason, state_at=now)
        .returning(message.c.id, message.c.skip_reason)
    )
    rows = connection.execute(moved).all()
    return tuple(sorted(row.id for row in rows if row.skip_reason is None))


def _skipped_or(otherwise: State, reason: ColumnElement[str | None]) -> ColumnElement[str]:
    return cast(case((reason.is_not(None), State.SKIPPED.value), else_=otherwise.value), message.c.state.type)


def skip(connection: Connection, message_ids: Sequence[int], reason: str, now: datetime) -> None:
    """Those of the messages that were not handed over are skipped for `reason`. Repeat: safe."""
    if not message_ids:
        return
    waiting = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    values = {"state": State.SKIPPED, "skip_reason": reason, "state_at": now}
    connection.execute(update(message).where(message.c.id.in_(message_ids), waiting).values(**values))


# --- the window ------------------------------------------------------------------------------------------

_RENEW = text("""
    UPDATE batch SET lease_until = now() + :lease FROM run
    WHERE batch.id = :batch_id AND batch.claim_count = :token AND batch.state = 'claimed'
      AND run.id = batch.run_id AND run.state = 'running'
""")


def is_held(connection: Connection, held: Claim) -> bool:
    """The batch is still this worker's and its run is running; its lease is renewed."""
    given = {"batch_id": held.batch_id, "token": held.token, "lease": held.lease}
    return connection.execute(_RENEW, given).rowcount == 1


def hand_over(
    connection: Connection,
    held: Claim,
    ids: Sequence[int],
    answered: Iterable[tuple[int, Outcome]],
    *,
    transport: str,
    now: datetime,
) -> list[int]:
    """The answers are recorded, and those of `ids` that may go are `handed_over`; they are returned.

    Commit before a final dot is written. The gate is asked once more, so an opt-out one second before wins.
    When the lease is lost or the run paused, nothing is handed over; answers are recorded all the same.
    """
    record(connection, answered, transport=transport, worker=held.worker, now=now)
    if not ids:
        return []
    if not is_held(connection, held):
        return []
    reason = skip_reason(
        message.c.customer_id, message.c.address_key, topic=held.topic, campaign=held.campaign, now=now
    )
    asked = (
        select(message.c.id, reason.label("reason"))
        .where(message.c.id.in_(ids), message.c.state == State.CLAIMED)
        .cte("asked")
    )
    moved = (
        update(message)
        .where(message.c.id == asked.c.id, message.c.state == State.CLAIMED)
        .values(
            state=_skipped_or(State.HANDED_OVER, asked.c.reason),
            skip_reason=asked.c.reason,
            state_at=now,
            attempt_count=message.c.attempt_count + 1,
        )
        .returning(message.c.id, message.c.skip_reason)
    )
    return [row.id for row in connection.execute(moved) if row.skip_reason is None]


# An envelope may be refused before its message was handed over: that is an attempt too. That a transport could not
# be used is none: such a message stays claimed, and goes back to planned with its batch.
_ANSWERS = """
    WITH answer AS (
        SELECT * FROM unnest(:ids, :states, :by_server, :codes, :enhanced, :replies)
            AS a(id, state, by_server, code, enhanced, reply)
    ), moved AS (
        UPDATE message AS m
        -- The batch of a message in doubt is closed: a late "not now" ends it, nobody would try it again.
        SET state = CASE WHEN m.state = 'unknown' AND a.state = 'deferred' THEN 'failed' ELSE a.state END::message_state,
            state_at = :now,
            attempt_count = m.attempt_count + CASE WHEN m.state = 'claimed' THEN 1 ELSE 0 END,
            accepted_at = CASE WHEN a.state = 'accepted' THEN :now ELSE m.accepted_at END
        FROM answer a
        WHERE m.id = a.id
          AND (m.state IN ('handed_over', 'unknown')
               OR (m.state = 'claimed' AND a.by_server AND a.state IN ('deferred', 'failed')))
        RETURNING m.id, m.attempt_count
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, code, enhanced, reply, answered_at)
    SELECT a.id, moved.attempt_count, :transport, :worker, a.state::message_state, a.code, a.enhanced,
           left(a.reply, 500), :now
    FROM answer a JOIN moved ON moved.id = a.id
"""
_RECORD: Final = text(_ANSWERS).bindparams(
    bindparam("ids", type_=ARRAY(BIGINT)),
    bindparam("states", type_=ARRAY(TEXT)),
    bindparam("by_server", type_=ARRAY(BOOLEAN)),
    bindparam("codes", type_=ARRAY(INTEGER)),
    bindparam("enhanced", type_=ARRAY(TEXT)),
    bindparam("replies", type_=ARRAY(TEXT)),
)
_STATE_OF: Final = {
    OutcomeState.ACCEPTED: State.ACCEPTED,
    OutcomeState.DEFERRED: State.DEFERRED,
    OutcomeState.FAILED: State.FAILED,
    OutcomeState.UNKNOWN: State.UNKNOWN,
    # Handed over on paper, but the final dot was never written: tried again like a deferral.
    OutcomeState.NOT_SENT: State.DEFERRED,
}


def record(
    connection: Connection,
    answered: Iterable[tuple[int, Outcome]],
    *,
    transport: str,
    worker: str,
    now: datetime,
) -> None:
    """Each answer is in the ledger: the message's state, and a row in `attempt`.

    A late answer to a message that was already given up as `unknown` settles it. Answers to messages that were
    never handed over (the connection failed before) change nothing, unless the server itself refused the envelope. Repeat: safe.
    """
    listed = list(answered)
    if not listed:
        return
    connection.execute(
        _RECORD,
        {
            "ids": [message_id for message_id, _ in listed],
            "states": [_STATE_OF[outcome.state].value for _, outcome in listed],
            "by_server": [outcome.state is not OutcomeState.NOT_SENT for _, outcome in listed],
            "codes": [outcome.code for _, outcome in listed],
            "enhanced": [outcome.enhanced for _, outcome in listed],
            "replies": [outcome.reply for _, outcome in listed],
            "transport": transport,
            "worker": worker,
            "now": now,
        },
    )
