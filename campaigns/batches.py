"""The life of a batch after its hand-overs: closed, put off, told again; and the end of its run."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Interval, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from campaigns.ledger import Claim
from campaigns.states import State
from core.schema import batch, message, run

#: A message the server puts off is tried again after these waits, then given up (RFC 5321 §4.5.4.1: 4–5 days).
RETRY_WAITS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60, 120, 240, 480, 720, 720, 720, 720, 720, 720)
)
#: A transport that cannot be used is asked again after this.
TRANSPORT_PAUSE: Final = timedelta(seconds=30)
AT_ONCE: Final = timedelta(0)


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
    return list(connection.execute(statement.values(state="finished", finished_at=now).returning(run.c.id)).scalars())


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
