"""The ledger: one row per person of an audience, and the only statements that move it from state to state.

A worker claims a batch under a lease, hands messages over in windows, and closes the batch. Each hand-over is
committed before its final dot leaves the process, so a worker killed at any instant leaves at most the messages
of its open window in doubt; those become `unknown` and are never sent again by themselves.
Leases use the database's clock; `claim_count` is the fencing token of a batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, Interval, bindparam, case, cast, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, TEXT

from core.schema import batch, message, run
from delivery.smtp import Outcome, OutcomeState
from suppression.gate import skip_reason


class State(StrEnum):
    """Where a message is on its way."""

    PLANNED = "planned"  #: waits for its time and a worker
    CLAIMED = "claimed"  #: in a worker's hands, nothing written to a server yet
    HANDED_OVER = "handed_over"  #: committed before the final dot was written
    ACCEPTED = "accepted"  #: the transport took it
    DEFERRED = "deferred"  #: the server said later; waits for its next attempt
    FAILED = "failed"  #: refused for good
    UNKNOWN = "unknown"  #: the final dot may have been written, no answer was read
    SKIPPED = "skipped"  #: never meant to be sent, for the reason in skip_reason
    DELIVERED = "delivered"  #: the receiving server reported it
    BOUNCED = "bounced"  #: came back after it was accepted
    COMPLAINED = "complained"  #: reported as spam after it was accepted


#: Which state may follow which. Everything that changes `message.state` is in this file or tested against it.
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.PLANNED: frozenset({State.CLAIMED, State.SKIPPED}),
    State.CLAIMED: frozenset({State.HANDED_OVER, State.PLANNED, State.DEFERRED, State.SKIPPED}),
    State.HANDED_OVER: frozenset({State.ACCEPTED, State.DEFERRED, State.FAILED, State.UNKNOWN}),
    State.DEFERRED: frozenset({State.CLAIMED, State.SKIPPED, State.FAILED}),
    State.UNKNOWN: frozenset(
        {State.ACCEPTED, State.DEFERRED, State.FAILED, State.DELIVERED, State.BOUNCED, State.COMPLAINED}
    ),
    State.ACCEPTED: frozenset({State.DELIVERED, State.BOUNCED, State.COMPLAINED}),
    State.DELIVERED: frozenset({State.BOUNCED, State.COMPLAINED}),
    State.FAILED: frozenset(),
    State.SKIPPED: frozenset(),
    State.BOUNCED: frozenset({State.COMPLAINED}),
    State.COMPLAINED: frozenset(),
}
#: States in which a message still has something ahead of it: a run with one of them is not finished.
OPEN: Final = (State.PLANNED, State.CLAIMED, State.HANDED_OVER, State.DEFERRED)

#: A message the server puts off is tried again after these waits, then given up (RFC 5321 §4.5.4.1: 4–5 days).
RETRY_WAITS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60, 120, 240, 480, 720, 720, 720, 720, 720, 720)
)
#: A transport that cannot be used is asked again after this.
TRANSPORT_PAUSE: Final = timedelta(seconds=30)
AT_ONCE: Final = timedelta(0)


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


def claim(
    connection: Connection, batch_id: int, *, worker: str, lease: timedelta, now: datetime
) -> Claim | None:
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
        _skip_where(connection, ids, "expired", now)
    claimed = _claim_messages(connection, ids, row.topic, row.campaign, now)
    return Claim(
        batch_id, row.claim_count, row.run_id, row.version_id, row.campaign, row.topic, claimed, lease, worker
    )


def _claim_messages(
    connection: Connection, ids: list[int], topic: str, campaign: str, now: datetime
) -> tuple[int, ...]:
    claimable = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    reason = skip_reason(
        message.c.customer_id, message.c.address_key, topic=topic, campaign=campaign, now=now
    )
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


def _skip_where(connection: Connection, ids: Sequence[int], reason: str, now: datetime) -> None:
    open_states = message.c.state.in_([State.PLANNED, State.DEFERRED, State.CLAIMED])
    connection.execute(
        update(message)
        .where(message.c.id.in_(ids), open_states)
        .values(state=State.SKIPPED, skip_reason=reason, state_at=now)
    )


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


_ANSWERS = """
    WITH answer AS (
        SELECT * FROM unnest(:ids, :states, :codes, :enhanced, :replies) AS a(id, state, code, enhanced, reply)
    ), moved AS (
        UPDATE message AS m
        SET state = a.state::message_state, state_at = :now,
            accepted_at = CASE WHEN a.state = 'accepted' THEN :now ELSE m.accepted_at END
        FROM answer a
        WHERE m.id = a.id AND m.state IN ('handed_over', 'unknown')
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
    never handed over (the connection failed before) change nothing. Repeat: safe.
    """
    listed = list(answered)
    if not listed:
        return
    connection.execute(
        _RECORD,
        {
            "ids": [message_id for message_id, _ in listed],
            "states": [_STATE_OF[outcome.state].value for _, outcome in listed],
            "codes": [outcome.code for _, outcome in listed],
            "enhanced": [outcome.enhanced for _, outcome in listed],
            "replies": [outcome.reply for _, outcome in listed],
            "transport": transport,
            "worker": worker,
            "now": now,
        },
    )


# --- closing a batch ----------------------------------------------------------------------------------


def skip(connection: Connection, message_ids: Sequence[int], reason: str, now: datetime) -> None:
    """Claimed messages are skipped for `reason`."""
    if message_ids:
        _skip_where(connection, message_ids, reason, now)


def close(connection: Connection, held: Claim, now: datetime, *, pause: timedelta = AT_ONCE) -> None:
    """The batch is done, or ready again after `pause` with what is left; deferred messages have a batch of their own.

    A lost lease changes nothing: the batch is somebody else's. The run is finished when nothing is open any more.
    """
    mine = (batch.c.id == held.batch_id) & (batch.c.claim_count == held.token) & (batch.c.state == "claimed")
    if connection.execute(select(batch.c.id).where(mine).with_for_update()).scalar() is None:
        return
    ids = list(held.message_ids)
    left = list(
        connection.execute(
            update(message)
            .where(message.c.id.in_(ids), message.c.state == State.CLAIMED)
            .values(state=State.PLANNED, state_at=now)
            .returning(message.c.id)
        ).scalars()
    )
    if left:
        ready = {
            "state": "ready",
            "message_ids": sorted(left),
            "not_before": now + pause,
            "published_at": None,
        }
        connection.execute(update(batch).where(mine).values(**ready))
    else:
        connection.execute(update(batch).where(mine).values(state="done"))
    _put_off(connection, held, now)
    finish_runs(connection, now, run_id=held.run_id)


_PUT_OFF = text("""
    INSERT INTO batch (run_id, message_ids, not_before)
    SELECT :run_id, array_agg(id ORDER BY id), :now + (:waits)[attempt_count]
    FROM message WHERE id = ANY(:ids) AND state = 'deferred' AND attempt_count <= cardinality(:waits)
    GROUP BY attempt_count
""").bindparams(bindparam("ids", type_=ARRAY(BIGINT)), bindparam("waits", type_=ARRAY(Interval)))


def _put_off(connection: Connection, held: Claim, now: datetime) -> None:
    ids = list(held.message_ids)
    connection.execute(_PUT_OFF, {"run_id": held.run_id, "ids": ids, "now": now, "waits": list(RETRY_WAITS)})
    given_up = (message.c.id.in_(ids)) & (message.c.state == State.DEFERRED)
    connection.execute(
        update(message)
        .where(given_up, message.c.attempt_count > len(RETRY_WAITS))
        .values(state=State.FAILED, state_at=now)
    )


def finish_runs(connection: Connection, now: datetime, *, run_id: int | None = None) -> list[int]:
    """Running runs without an open batch are finished; their ids are returned. Repeat: safe."""
    open_batches = select(batch.c.id).where(batch.c.run_id == run.c.id, batch.c.state != "done").exists()
    statement = update(run).where(run.c.state == "running", ~open_batches)
    if run_id is not None:
        statement = statement.where(run.c.id == run_id)
    return list(
        connection.execute(statement.values(state="finished", finished_at=now).returning(run.c.id)).scalars()
    )


_DUE = text("""
    UPDATE batch SET published_at = now()
    FROM run
    WHERE run.id = batch.run_id AND run.state = 'running' AND batch.state <> 'done' AND batch.not_before <= :now
      AND (batch.state = 'ready' OR batch.lease_until < now())
      AND (batch.published_at IS NULL OR batch.published_at < now() - :again)
    RETURNING batch.id, batch.queue
""")


def due_batches(connection: Connection, *, now: datetime, again_after: timedelta) -> list[tuple[int, str]]:
    """Ids and queues of the batches that a worker should be told of now, in order of their ids.

    Each is marked as told; one that nobody took is told again after `again_after`, so that a broker which lost
    its memory loses no work.
    """
    rows = connection.execute(_DUE, {"now": now, "again": again_after})
    return sorted((row.id, row.queue) for row in rows)
