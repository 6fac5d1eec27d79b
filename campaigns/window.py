"""The write-ahead of delivery: one statement per window, which records answers and hands over the next messages.

The statement is put together once per campaign and sent as text: building it anew took 6 ms, running it takes less
than 1 ms for ten messages.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, DateTime, bindparam, literal_column, select, text
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import OperationalError

from campaigns.ledger import Claim
from campaigns.never_left import plan_again
from campaigns.putting_off import hold_back
from campaigns.states import State
from campaigns.watch import Watch
from core.arrays import array_item, ids_text
from delivery.bounce_classes import bounce_class
from delivery.smtp import Outcome, OutcomeState
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.pressure import lock


@dataclass(frozen=True, slots=True)
class Window:
    """What one statement records. `contents` and `tried` (attempts before this one) are known of every id named."""

    ids: Sequence[int] = ()  # to be handed over
    answered: Sequence[tuple[int, Outcome]] = ()
    contents: Mapping[int, bytes] = field(default_factory=dict)
    tried: Mapping[int, int] = field(default_factory=dict)


# Taking the batch's row lock fences: a later claim waits, or has won and this finds nothing. The lock is not waited for
# in the statement, which would then go by what opt-outs and orders were before the wait.
# An envelope may be refused before its message was handed over: that is an attempt too, and `tried` keeps a repeated
# report from counting twice. That a transport could not be used is none: such a message stays as it was.
# A bulk message in doubt has no batch any more: a late "not now" ends it, nobody would try it again, unless it is about
# an earlier hand-over than the one in doubt. A late "accepted" counts as long as nobody has handed the message over
# since, or what became of that is in doubt. An answer to a hand-over that the database does not know of (it failed over
# to a standby that lagged behind) counts for whoever still has the batch.
# OFFSET 0 keeps `asked` apart: inlined, the gate would be asked three times a person.
_STATEMENT: Final = """
    WITH fence AS MATERIALIZED (
        SELECT run.state FROM batch JOIN run ON run.id = batch.run_id
        WHERE batch.id = %(batch_id)s AND batch.claim_count = %(token)s AND batch.worker = %(worker)s
          AND batch.state = 'claimed'
        FOR NO KEY UPDATE OF batch NOWAIT
    ), answered AS (
        UPDATE message AS m
        SET state = CASE WHEN m.state = 'unknown' AND a.state = 'deferred' THEN 'failed'
                         ELSE a.state END::message_state,
            state_at = %(now)s,
            attempt_count = greatest(m.attempt_count, a.tried + 1),
            accepted_at = CASE WHEN a.state = 'accepted' THEN %(now)s ELSE m.accepted_at END,
            hold_reason = NULL
        FROM unnest(%(answered)s::bigint[], %(states)s::text[], %(outcomes)s::text[], %(by_server)s::boolean[],
                    %(tried)s::int[], %(codes)s::int[], %(enhanced)s::text[], %(replies)s::text[], %(classes)s::text[])
            AS a(id, state, outcome, by_server, tried, code, enhanced, reply, bounce_class)
        WHERE m.id = a.id
          AND (m.state = 'unknown' AND a.state = 'accepted'
               OR m.attempt_count = a.tried + 1
                  AND (m.state = 'unknown' AND a.by_server OR m.state = 'deferred' AND a.state = 'accepted')
               OR EXISTS (SELECT 1 FROM fence)
                  AND (m.state = 'handed_over'
                       OR m.state IN ('planned', 'deferred') AND m.attempt_count = a.tried AND a.by_server))
        RETURNING m.id, m.state, m.attempt_count, a.outcome, a.code, a.enhanced, a.reply, a.bounce_class
    ), noted AS (
        INSERT INTO attempt (message_id, number, transport, worker, outcome, code, enhanced, reply, bounce_class,
                             answered_at)
        SELECT id, attempt_count, %(transport)s::text, %(worker)s::text, outcome::message_state, code, enhanced,
               left(reply, 500), bounce_class, %(now)s
        FROM answered
    ), going AS (
        UPDATE message AS m
        SET (state, skip_reason, attempt_count) = (
                SELECT CASE WHEN asked.reason IS NULL THEN 'handed_over' ELSE 'skipped' END::message_state,
                       asked.reason, m.attempt_count + (asked.reason IS NULL)::int
                FROM ({asked} OFFSET 0) AS asked),
            hold_reason = NULL,
            state_at = %(now)s
        WHERE m.id = ANY(%(ids)s::bigint[]) AND m.state IN ('planned', 'deferred')
          AND EXISTS (SELECT 1 FROM fence WHERE fence.state = 'running')
        RETURNING m.id, m.skip_reason
    ){kept}
    SELECT id FROM going WHERE skip_reason IS NULL
"""
_KEPT: Final = """
    , kept AS (
        INSERT INTO kept_content (message_id, content)
        SELECT id, content FROM unnest(%(keeping)s::bigint[], %(kept)s::bytea[]) AS k(id, content)
        WHERE id IN (SELECT id FROM answered WHERE state = 'deferred'
                     UNION ALL SELECT id FROM going WHERE skip_reason IS NULL)
        ON CONFLICT (message_id) DO UPDATE SET content = excluded.content
        WHERE kept_content.content <> excluded.content
    )
"""
_STATE_OF: Final = {
    OutcomeState.ACCEPTED: State.ACCEPTED,
    OutcomeState.DEFERRED: State.DEFERRED,
    OutcomeState.FAILED: State.FAILED,
    OutcomeState.UNKNOWN: State.UNKNOWN,  # a transactional message is deferred then: sent again, not lost
    # Handed over on paper, but the final dot was never written: tried again like a deferral.
    OutcomeState.NOT_SENT: State.DEFERRED,
}
#: For the connection that windows are written on: planned anew, a window of 50 took 32 ms instead of 8.
PLAN_ONCE: Final = text("SET plan_cache_mode = force_generic_plan")
_RENEW: Final = text("""
    UPDATE batch SET lease_until = now() + :lease FROM run
    WHERE batch.id = :batch_id AND batch.claim_count = :token AND batch.worker = :worker AND batch.state = 'claimed'
      AND run.id = batch.run_id
    RETURNING run.state = 'running'
""")
_AWAIT: Final = text("SELECT 1 FROM batch WHERE id = :batch_id FOR NO KEY UPDATE")


def hand_over(connection: Connection, held: Claim, window: Window, *, transport: str, now: datetime) -> list[int]:
    """The answers are recorded, and those of `window.ids` that may go are `handed_over`; they are returned.

    Commit before a final dot is written. The gate is asked once more, so an opt-out one second before wins.
    When the run is paused or cancelled nothing is handed over, and answers are recorded. When the lease is lost, the
    messages are another worker's: an answer then only settles one that is in doubt since. The content of what may have
    to be sent again is kept: of deferred messages, and of transactional ones before they go. Atomic: yes, one
    statement, or one transaction where caps or quiet hours are to be looked at; a second one plans again what turns out
    never to have left. On a connection of `Database.link` a batch that somebody has locked is waited for. Repeat: safe;
    messages handed over the first time are not returned again.
    """
    going = _handed_over(connection, held, window, transport, now)
    never_left = [message_id for message_id, outcome in window.answered if outcome.state is OutcomeState.NOT_SENT]
    if never_left:
        plan_again(connection, held, never_left, window.tried, now)
    return going


def _handed_over(connection: Connection, held: Claim, window: Window, transport: str, now: datetime) -> list[int]:
    while True:
        try:
            if held.watch is None or not window.ids:
                return _written(connection, held, window, transport, now)
            with _one_transaction(connection):
                return _watched(connection, held, held.watch, window, transport, now)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        connection.execute(_AWAIT, {"batch_id": held.batch_id})


def _written(connection: Connection, held: Claim, window: Window, transport: str, now: datetime) -> list[int]:
    kept = _kept(held, window)
    sql, fixed = _statement(
        held.topic, held.campaign, held.message_class, held.policy, by_behaviour=held.by_behaviour, keeps=bool(kept)
    )
    given = fixed | _answers(held, window) | kept | {
        "ids": ids_text(window.ids), "batch_id": held.batch_id, "token": held.token, "now": now,
        "transport": transport, "worker": held.worker,
    }  # fmt: skip
    return list(connection.exec_driver_sql(sql, given).scalars())


def _watched(
    connection: Connection, held: Claim, watch: Watch, window: Window, transport: str, now: datetime
) -> list[int]:
    """Those who are counted together are handed over one after the other, for each counts for the next."""
    limited = [message_id for message_id in window.ids if message_id in watch.limited]
    keys = lock(connection, limited, rules=watch.rules) if limited else {}
    going: list[int] = []
    waiting, answered = list(window.ids), window.answered
    while waiting:
        apart, waiting = _apart(waiting, keys)
        free = hold_back(connection, held, apart, now)
        going += _written(connection, held, replace(window, ids=free, answered=answered), transport, now)
        answered = ()
    return going


def _apart(ids: Sequence[int], keys: Mapping[int, Collection[int]]) -> tuple[list[int], list[int]]:
    """Messages no two of which are counted together, and the rest."""
    first: list[int] = []
    rest: list[int] = []
    taken: set[int] = set()
    for message_id in ids:
        own = keys.get(message_id, ())
        if taken.isdisjoint(own):
            first.append(message_id)
            taken.update(own)
        else:
            rest.append(message_id)
    return first, rest


@contextmanager
def _one_transaction(connection: Connection) -> Iterator[None]:
    """On a connection of `Database.link`, whose statements are transactions of their own; others are in one already."""
    driver: Any = connection.connection.driver_connection
    if not driver.autocommit:
        yield
        return
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


_ABOUT_OUTCOMES: Final = ("states", "outcomes", "by_server", "codes", "enhanced", "replies", "classes")


def _answers(held: Claim, window: Window) -> dict[str, Any]:
    answered = [message_id for message_id, _ in window.answered]
    items = [_items(outcome, sends_again=held.sends_again) for _, outcome in window.answered]
    columns = zip(*items, strict=True) if items else [()] * len(_ABOUT_OUTCOMES)
    return {
        "answered": ids_text(answered),
        "tried": ids_text([window.tried.get(message_id, 0) for message_id in answered]),
        **{name: "{" + ",".join(column) + "}" for name, column in zip(_ABOUT_OUTCOMES, columns, strict=True)},
    }


@lru_cache(maxsize=256)
def _items(outcome: Outcome, *, sends_again: bool) -> tuple[str, ...]:
    """What is recorded of an outcome, as items of arrays; kept for servers whose answers name no message."""
    recorded = _STATE_OF[outcome.state]
    state = State.DEFERRED if sends_again and recorded is State.UNKNOWN else recorded
    by_server = outcome.state is not OutcomeState.NOT_SENT
    said = (outcome.code, outcome.enhanced, outcome.reply, bounce_class(outcome))
    return tuple(map(array_item, (state.value, recorded.value, by_server, *said)))


def _kept(held: Claim, window: Window) -> dict[str, Any]:
    keeping = [
        message_id for message_id, outcome in window.answered
        if _STATE_OF[outcome.state] is State.DEFERRED and message_id in window.contents
    ]  # fmt: skip
    if held.sends_again:
        keeping += window.ids
    if not keeping:
        return {}
    return {"keeping": keeping, "kept": [zlib.compress(window.contents[message_id], 1) for message_id in keeping]}


@lru_cache(maxsize=256)
def _statement(
    topic: str, campaign: str, message_class: str, policy: Policy, *, by_behaviour: bool, keeps: bool
) -> tuple[str, dict[str, Any]]:
    """The statement as text for the driver, and the values of the gate's in it that never change.

    Without superfluous blanks: psycopg reads a text of more than 4,096 characters anew each time, which took 0.5 ms.
    """
    now = bindparam("now", required=False, type_=DateTime(timezone=True))
    gate = skip_reason(
        literal_column("m.customer_id"), literal_column("m.address_key"),
        topic=topic, campaign=campaign, now=now, policy=policy, message_class=message_class,
        by_behaviour=by_behaviour,
    )  # fmt: skip
    compiled = select(gate.label("reason")).compile(
        dialect=dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"render_postcompile": True},
    )
    whole = _STATEMENT.replace("{asked}", str(compiled)).replace("{kept}", _KEPT if keeps else "")
    # The driver says of what type `now` is.
    short = " ".join(whole.split()).replace("( ", "(").replace(" )", ")").replace("::TIMESTAMP WITH TIME ZONE", "")
    return short, dict(compiled.params)


def is_held(connection: Connection, held: Claim) -> bool:
    """The batch is still this worker's and its run is running; its lease is renewed."""
    given = {"batch_id": held.batch_id, "token": held.token, "worker": held.worker, "lease": held.lease}
    return connection.execute(_RENEW, given).scalar() is True
