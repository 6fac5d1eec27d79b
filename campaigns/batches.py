"""The life of a batch after its hand-overs: closed, put off, told again; and the end of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Interval, bindparam, func, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns import key_accounts, ledger, refusals
from campaigns.ledger import Claim
from campaigns.retry_waits import retry_waits
from campaigns.runs import WORK_CHANNEL
from campaigns.states import OPEN, WAITING, State
from core.arrays import Ids, among
from core.refusal_settings import Refusals
from core.schema import batch, message, run
from suppression.gate import TRANSACTIONAL

#: What kept a batch from going is tried again after this.
FAULT_PAUSE: Final = timedelta(seconds=30)
AT_ONCE: Final = timedelta(0)
#: A transactional message that was handed over so often without an answer is not sent again by itself.
MOST_DOUBTS: Final = 4
NOTHING: Final[Mapping[str, Sequence[int]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Stopped:
    """A batch of a stopped run, in the hands of a worker that was lost."""

    batch_id: int
    run_id: int
    campaign: str
    message_class: str
    worker: str


def close(
    connection: Connection,
    held: Claim,
    now: datetime,
    *,
    pause: timedelta = AT_ONCE,
    fault: str | None = None,
    skipped: Mapping[str, Sequence[int]] = NOTHING,
    refused: Sequence[int] = (),
    policy: Refusals | None = None,
) -> None:
    """The batch is done, or ready again after `pause` with what is left; deferred messages have a batch of their own.

    What was handed over and has no answer is in doubt. What is `skipped`, by reason, will not be sent. What was
    `refused`, now or in the hands of a worker that was lost, has its consequences by `policy`. `fault` says on the run
    why nothing goes at present; None clears it. A lost lease changes nothing: the batch is somebody else's.
    """
    mine = (batch.c.id == held.batch_id) & (batch.c.claim_count == held.token) & (batch.c.worker == held.worker)
    mine &= batch.c.state == "claimed"
    row = connection.execute(select(batch.c.message_ids).where(mine).with_for_update()).one_or_none()
    if row is None:
        connection.execute(_FORGET, {"ids": list(held.message_ids)})  # its late answers settled some
        settle_stopped(connection, now, run_id=held.run_id)  # put off as a whole while its run was cancelled
        return
    ids = list(row.message_ids)
    for reason, not_meant in skipped.items():
        ledger.skip(connection, not_meant, reason, now)
    key_accounts.leave_to_owners(connection, held.run_id, held.topic, held.policy, now, only=ids)
    left = _settle_messages(connection, held, ids, "the answer was lost", now, policy)
    _give_back(connection, held.batch_id, left, now + pause)
    if 0 < len(left) < len(ids) and pause == AT_ONCE:  # one that gets nowhere waits for the scheduler's next tick
        connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    answered = ids if held.token > 1 else refused
    fault = refusals.settle(connection, held, answered, now, policy) or fault
    # A run that was stopped keeps the reason, whatever batches under way then came to.
    changed = run.c.fault.is_distinct_from(fault) & (run.c.state == "running")
    connection.execute(update(run).where(run.c.id == held.run_id, changed).values(fault=fault))
    settle_stopped(connection, now, run_id=held.run_id)
    if held.message_class != TRANSACTIONAL:  # its run is open-ended, and may have 100,000 batches behind it
        finish_runs(connection, now, run_id=held.run_id)


def _give_back(connection: Connection, batch_id: int, left: list[int], not_before: datetime) -> None:
    """What is left of the batch waits in it for the next worker; with nothing left it is done."""
    values: dict[str, Any] = {"state": "done"}
    if left:
        values = {"state": "ready", "message_ids": left, "not_before": not_before, "published_at": None}
    connection.execute(update(batch).where(batch.c.id == batch_id).values(**values))


#: What would come too late anyway is looked at as soon as it has expired, so that its run can end.
_PUT_OFF: Final = text("""
    INSERT INTO batch (run_id, queue, stage, attempt_count, waits_from, message_ids, not_before)
    SELECT b.run_id, b.queue, b.stage, m.attempt_count, b.waits_from, array_agg(m.id ORDER BY m.id),
           least(:now + (:waits)[m.attempt_count - b.waits_from] * (0.9 + 0.2 * random()),
                 run.valid_until + interval '1 second')
    FROM message AS m JOIN batch AS b ON b.id = :batch_id JOIN run ON run.id = b.run_id
    WHERE m.id = ANY(:ids) AND m.state = 'deferred' AND m.attempt_count > b.attempt_count
    GROUP BY b.id, run.id, m.attempt_count
""").bindparams(bindparam("ids", type_=Ids), bindparam("waits", type_=ARRAY(Interval)))
_GIVE_UP: Final = text(
    """
    WITH put_off AS (
        SELECT m.id, {doubts} >= :doubts AS is_in_doubt, m.attempt_count - b.waits_from > :most AS is_over
        FROM message AS m JOIN batch AS b ON b.id = :batch_id WHERE m.id = ANY(:ids) AND m.state = 'deferred'
    )
    UPDATE message SET state = CASE WHEN is_in_doubt THEN 'unknown' ELSE 'failed' END::message_state, state_at = :now
    FROM put_off WHERE message.id = put_off.id AND (is_in_doubt OR is_over)
""".replace("{doubts}", ledger.DOUBTS)
).bindparams(bindparam("ids", type_=Ids))
#: Content is kept for what may have to be sent again; the rest is settled.
_FORGET: Final = text("""
    DELETE FROM kept_content AS k USING message AS m
    WHERE k.message_id = ANY(:ids) AND m.id = k.message_id AND m.state NOT IN ('planned', 'deferred', 'unknown')
""").bindparams(bindparam("ids", type_=Ids))


def _settle_messages(
    connection: Connection, held: Claim | _Stopped, ids: list[int], why: str, now: datetime, policy: Refusals | None
) -> list[int]:
    """What was handed over is in doubt, for this reason. What was deferred in this batch waits in another one, longer
    each time, and never as long as the others to the second; after the last wait it has failed, or is in doubt for
    good. What was not tried in this batch is returned."""
    still_open = select(message.c.id).where(among(message.c.id, ids), message.c.state.in_(OPEN))
    left = list(connection.execute(still_open).scalars())
    if left:  # of most batches nothing
        ledger.doubt(connection, left, worker=held.worker, why=why, now=now)
        waits = list(retry_waits(held.message_class, (policy or Refusals()).give_up_after))
        given = {"batch_id": held.batch_id, "ids": left, "now": now}
        connection.execute(_GIVE_UP, given | {"most": len(waits), "doubts": MOST_DOUBTS})
        connection.execute(_PUT_OFF, given | {"waits": waits})
        left = _untried(connection, held.batch_id, left)
    connection.execute(_FORGET, {"ids": ids})
    return left


def _untried(connection: Connection, batch_id: int, ids: list[int]) -> list[int]:
    tried = message.c.attempt_count > batch.c.attempt_count
    untried = (
        select(message.c.id)
        .join(batch, batch.c.id == batch_id)
        .where(among(message.c.id, ids), message.c.state.in_(WAITING), ~((message.c.state == State.DEFERRED) & tried))
        .order_by(message.c.id)
    )
    return list(connection.execute(untried).scalars())


_WITH_RUN: Final = batch.join(run, run.c.id == batch.c.run_id)
#: Batches of stopped runs whose worker was lost, and open ones of cancelled runs.
_LOST: Final = (
    select(batch.c.id, batch.c.run_id, run.c.campaign, batch.c.message_ids, batch.c.worker, batch.c.queue)
    .select_from(_WITH_RUN)
    .where(run.c.state.in_(["paused", "cancelled"]), batch.c.state == "claimed", batch.c.lease_until < func.now())
)
_CALLED_OFF: Final = (
    select(batch.c.id, batch.c.message_ids)
    .select_from(_WITH_RUN)
    .where(run.c.state == "cancelled", batch.c.state == "ready")
)
#: Whether `settle_stopped` has anything to do.
IS_STOPPED: Final = or_(_LOST.exists(), _CALLED_OFF.exists())


def settle_stopped(
    connection: Connection, now: datetime, *, run_id: int | None = None, policy: Refusals | None = None
) -> None:
    """Batches of paused and cancelled runs are in nobody's hands, and a cancelled run has nothing open. Repeat: safe.

    A worker lost while its run was stopped is found here: nobody claims a batch of a run that does not run. Locks
    batches before messages, as claims do.
    """
    of_one = true() if run_id is None else run.c.id == run_id
    lost = _LOST.where(of_one).order_by(batch.c.id).with_for_update(of=batch, skip_locked=True)
    for row in connection.execute(lost).all():
        why = "the worker was lost"
        held = _Stopped(row.id, row.run_id, row.campaign, row.queue, row.worker)
        left = _settle_messages(connection, held, row.message_ids, why, now, policy)
        _give_back(connection, row.id, left, now)
        refusals.settle(connection, held, row.message_ids, now, policy)
    ready = _CALLED_OFF.where(of_one).order_by(batch.c.id).with_for_update(of=batch, skip_locked=True)
    for batch_id, message_ids in connection.execute(ready).all():
        ledger.skip(connection, message_ids, "cancelled", now)
        connection.execute(update(batch).where(batch.c.id == batch_id).values(state="done"))


_OPEN_BATCHES: Final = select(batch.c.id).where(batch.c.run_id == run.c.id, batch.c.state != "done").exists()
_OVER: Final = select(run.c.id).where(run.c.state == "running", ~run.c.open_ended, ~_OPEN_BATCHES)
#: Whether `finish_runs` has anything to do.
IS_OVER: Final = _OVER.exists()


def finish_runs(connection: Connection, now: datetime, *, run_id: int | None = None) -> list[int]:
    """Running runs without an open batch are finished; their ids are returned. Repeat: safe.

    An open-ended run goes on: `transactional.finish_superseded` ends those of former versions. Two workers that close
    the last two batches at once may each see the other's open: the next call ends the run. Runs are locked before their
    batches are looked at once more: who adds a batch holds the run.
    """
    over = _OVER if run_id is None else _OVER.where(run.c.id == run_id)
    over = over.order_by(run.c.id).with_for_update(of=run, key_share=True, skip_locked=True)
    ids = list(connection.execute(over).scalars())
    if not ids:
        return []
    ended = update(run).where(run.c.id.in_(ids), ~_OPEN_BATCHES).values(state="finished", finished_at=now, fault=None)
    return list(connection.execute(ended.returning(run.c.id)).scalars())


#: One whose worker was lost is told again, though its queue holds work: nobody else has a task of it. First come the
#: ones that were due first: a batch that asks in vain again and again gets behind those that are due since.
_OF_DUE: Final = """
        FROM batch JOIN run ON run.id = batch.run_id
        WHERE run.state = 'running' AND batch.state <> 'done' AND batch.not_before <= :now
          AND batch.stage <= run.stage
          AND (batch.state = 'ready' OR batch.lease_until < now())
          AND (batch.published_at IS NULL OR batch.published_at < now() - CAST(:again AS interval)
               OR (batch.state = 'claimed' AND batch.published_at < batch.lease_until))
"""
_IS_DUE: Final = text(f"SELECT EXISTS (SELECT {_OF_DUE})")
_DUE: Final = text(f"""
    WITH due AS (
        SELECT batch.id {_OF_DUE}
          AND (CAST(:queue AS text) IS NULL OR batch.queue = :queue)
        ORDER BY batch.not_before, batch.id LIMIT :most FOR NO KEY UPDATE OF batch SKIP LOCKED
    )
    UPDATE batch SET published_at = now() FROM due WHERE batch.id = due.id
    RETURNING batch.id, batch.queue, batch.not_before
""")  # noqa: S608  constants


def is_due(connection: Connection, *, now: datetime, again_after: timedelta) -> bool:
    """Whether there is a batch that a worker should be told of now, be it once more."""
    return bool(connection.execute(_IS_DUE, {"now": now, "again": again_after}).scalar())


def due_batches(
    connection: Connection,
    *,
    now: datetime,
    again_after: timedelta | None,
    queue: str | None = None,
    most: int | None = None,
) -> list[tuple[int, str]]:
    """Ids and queues of the batches that a worker should be told of now, in the order in which they became due.

    Of one queue or all, and not more than `most`. Each is marked as told. One that nobody took is told again after
    `again_after`, so that a broker which lost its memory loses no work; None: not again, while it still holds work.
    """
    rows = connection.execute(_DUE, {"now": now, "again": again_after, "queue": queue, "most": most})
    return [(row.id, row.queue) for row in sorted(rows, key=lambda row: (row.not_before, row.id))]
