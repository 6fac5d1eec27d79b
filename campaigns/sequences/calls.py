"""Calls of other systems, as steps ordered them: sent by workers, tried again until they are taken.

A call is made at least once and carries the same Idempotency-Key each time. Its body is signed: `Clarion-Signature` is
`t=<seconds>,v1=<hex>`, the HMAC-SHA256 of `<seconds>.<body>` under the endpoint's secret. Writes `webhook_call`.
"""

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, DateTime, RowMapping, bindparam, text

from campaigns.sequences.http import Refused, post
from core.clock import Clock
from core.database import Database
from core.endpoint_settings import Endpoint
from core.workspace import Workspace

_log = logging.getLogger("clarion.calls")
_AT_ONCE: Final = 20
_SIDE_BY_SIDE: Final = 5
#: A worker has other things to attend to; what is left comes up again soon.
_TURN_S: Final = 5.0
#: Whoever lost a call in the middle leaves it for so long.
_LEASE: Final = timedelta(minutes=5)
#: Waits before a call is tried again; then the last one, again and again.
_WAITS: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))


class CallState(StrEnum):
    """Where a call is."""

    PLANNED = "planned"  #: it waits for a worker, or to be tried again
    HANDED_OVER = "handed_over"  #: a worker is at it
    ACCEPTED = "accepted"  #: the other system took it
    FAILED = "failed"  #: it was given up


#: Which state may follow which.
TRANSITIONS: Final[Mapping[CallState, frozenset[CallState]]] = {
    CallState.PLANNED: frozenset({CallState.HANDED_OVER}),
    CallState.HANDED_OVER: frozenset({CallState.HANDED_OVER, CallState.PLANNED, CallState.ACCEPTED, CallState.FAILED}),
    CallState.ACCEPTED: frozenset(),
    CallState.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call in a worker's hands."""

    id: int
    key: str
    endpoint: str
    content: Mapping[str, Any]
    attempt: int  # 1 for the first
    created_at: datetime


_IS_DUE: Final = text("""
    SELECT EXISTS (SELECT FROM webhook_call WHERE state IN ('planned', 'handed_over') AND not_before <= :now)
""")
# Handed over, it comes up again by itself when its worker was lost: the lease is its next time.
_CLAIM: Final = text("""
    UPDATE webhook_call SET state = 'handed_over', attempt_count = attempt_count + 1, not_before = :again
    WHERE id IN (
        SELECT id FROM webhook_call WHERE state IN ('planned', 'handed_over') AND not_before <= :now
        ORDER BY not_before, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id, call_key, endpoint, content, attempt_count, created_at
""")
_SETTLE: Final = text("""
    UPDATE webhook_call
    SET state = :state, fault = :fault, not_before = :not_before,
        answered_at = CASE WHEN :state IN ('accepted', 'failed') THEN :now END
    WHERE id = :id AND state = 'handed_over' AND attempt_count = :attempt
""").bindparams(bindparam("now", type_=DateTime(timezone=True)), bindparam("not_before", type_=DateTime(timezone=True)))


def is_due(connection: Connection, now: datetime) -> bool:
    """Whether a call waits for a worker. Costs a look into a small index."""
    return bool(connection.execute(_IS_DUE, {"now": now}).scalar())


def make_calls(workspace: Workspace, database: Database, clock: Clock) -> int:
    """The calls that are due were made; how many were taken. Repeat: safe, also concurrently; a call whose worker is
    lost in the middle is made again, with its key."""
    accepted, until, endpoints = 0, time.monotonic() + _TURN_S, workspace.settings.endpoints
    while calls := _claimed(database, clock.now()):
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            accepted += sum(pool.map(lambda call: _made(endpoints, database, call, clock), calls))
        if time.monotonic() > until:
            break
    return accepted


def _claimed(database: Database, now: datetime) -> Sequence[Call]:
    with database.begin() as connection:
        rows = connection.execute(_CLAIM, {"now": now, "again": now + _LEASE, "most": _AT_ONCE}).mappings().all()
    return [_call(row) for row in rows]


def _call(row: RowMapping) -> Call:
    return Call(row["id"], row["call_key"], row["endpoint"], row["content"], row["attempt_count"], row["created_at"])


def _made(endpoints: Mapping[str, Endpoint], database: Database, call: Call, clock: Clock) -> bool:
    endpoint = endpoints.get(call.endpoint)
    try:
        if endpoint is None:
            raise Refused(f"clarion.yaml has no endpoint {call.endpoint!r}", is_final=False)
        body = json.dumps(call.content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": call.key,
            "Clarion-Signature": signature(endpoint.secret, body, clock.now()),
            "User-Agent": "Clarion",
        }
        post(endpoint.url, body, headers, timeout=endpoint.timeout, internal=endpoint.internal)
    except Refused as refused:
        _settle(database, call, refused, _end(endpoint, call), clock.now())
        return False
    _settle(database, call, None, None, clock.now())
    return True


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The value of the header by which the other system knows that the call is ours, and of now."""
    seconds = str(int(now.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _end(endpoint: Endpoint | None, call: Call) -> datetime:
    length = endpoint.give_up_after if endpoint is not None else timedelta(days=1)
    return call.created_at + length


def _settle(database: Database, call: Call, refused: Refused | None, end: datetime | None, now: datetime) -> None:
    state, again = CallState.ACCEPTED, now
    if refused is not None and end is not None:
        again = now + _WAITS[min(call.attempt, len(_WAITS)) - 1]
        state = CallState.FAILED if refused.is_final or again > end else CallState.PLANNED
        _log.warning("call %d of %s: %s", call.id, call.endpoint, refused)
    fault = str(refused)[:500] if refused is not None else None
    given = {"id": call.id, "attempt": call.attempt, "state": state.value, "fault": fault, "not_before": again}
    with database.begin() as connection:
        connection.execute(_SETTLE, given | {"now": now})
