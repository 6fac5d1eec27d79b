"""Calls of other systems, as steps ordered them: sent by workers, tried again until they are taken.

A call is made at least once and carries the same Idempotency-Key each time. Its body is signed: `Clarion-Signature` is
`t=<seconds>,v1=<hex>`, the HMAC-SHA256 of `<seconds>.<body>` under the endpoint's secret. Writes `webhook_call`.
"""

import hashlib
import hmac
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Integer, Interval, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from campaigns.sequences.http import Refused, post
from core import advisory
from core.clock import Clock
from core.database import Database
from core.endpoint_settings import Endpoint
from core.settings import Settings
from core.workspace import Workspace

_log = logging.getLogger("clarion.calls")
#: Calls of one endpoint that are under way at once, in all workers together: who is slow holds up nobody else.
_PER_ENDPOINT: Final = 5
_AT_ONCE: Final = 50
#: So long a worker takes new calls; what is left comes up again soon. It looks for them this often.
_TURN_S: Final = 5.0
_LOOK_S: Final = 0.5
#: Whoever lost a call in the middle leaves it for so long, beyond the time that the call itself may take.
_LEASE: Final = timedelta(minutes=1)
#: Waits before a call is tried again; then the last one, again and again.
_WAITS: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
#: How long an endpoint is left alone that did not answer; then the last one.
_PAUSES: Final = (timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=5))
#: Calls of a sequence that is paused are looked at again after so long.
_ASIDE: Final = timedelta(minutes=1)
#: So many of them in one turn: a thousand took 0.1 s. The claim passes over the others.
_MOST_ASIDE: Final = 10_000


class CallState(StrEnum):
    """Where a call is."""

    PLANNED = "planned"  #: it waits for a worker, or to be tried again
    HANDED_OVER = "handed_over"  #: a worker is at it
    ACCEPTED = "accepted"  #: the other system took it
    FAILED = "failed"  #: it was given up


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
# The call is of a sequence in this state: constants all of them.
_STANDS: Final = "EXISTS (SELECT FROM sequence AS s WHERE s.name = c.content ->> 'sequence' AND s.state {})"
_SET_ASIDE: Final = text(f"""
    UPDATE webhook_call SET state = 'planned', not_before = :later
    WHERE id IN (
        SELECT id FROM webhook_call AS c
        WHERE state IN ('planned', 'handed_over') AND not_before <= :now AND {_STANDS.format("= 'paused'")}
        LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
    )
""")  # noqa: S608  see above
_ENDPOINTS: Final = text("""
    SELECT DISTINCT endpoint FROM webhook_call WHERE state IN ('planned', 'handed_over') AND not_before <= :now
""")
# Handed over, it comes up again by itself when its worker was lost: the lease is its next time.
_CLAIM: Final = text(f"""
    WITH busy AS (
        SELECT endpoint, count(*) AS number FROM webhook_call
        WHERE state = 'handed_over' AND not_before > :now GROUP BY endpoint
    ), mine AS (
        SELECT due.id, place.lease FROM unnest(:endpoints, :rooms, :leases) AS place (endpoint, room, lease)
        LEFT JOIN busy ON busy.endpoint = place.endpoint
        CROSS JOIN LATERAL (
            SELECT id FROM webhook_call AS c
            WHERE c.endpoint = place.endpoint AND state IN ('planned', 'handed_over') AND not_before <= :now
              AND NOT {_STANDS.format("<> 'active'")}
            ORDER BY not_before, id LIMIT greatest(place.room - coalesce(busy.number, 0), 0)
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS due LIMIT :most
    )
    UPDATE webhook_call AS c
    SET state = 'handed_over', attempt_count = attempt_count + 1, not_before = CAST(:now AS timestamptz) + mine.lease
    FROM mine WHERE c.id = mine.id
    RETURNING c.id, call_key, endpoint, content, attempt_count, created_at
""").bindparams(  # noqa: S608  see above
    bindparam("endpoints", type_=ARRAY(Text)),
    bindparam("rooms", type_=ARRAY(Integer)),
    bindparam("leases", type_=ARRAY(Interval)),
    bindparam("now", type_=DateTime(timezone=True)),
)
_SETTLE: Final = text("""
    UPDATE webhook_call
    SET state = :state, fault = :fault, not_before = :not_before,
        answered_at = CASE WHEN :state IN ('accepted', 'failed') THEN :now END
    WHERE id = :id AND state = 'handed_over' AND attempt_count = :attempt
""").bindparams(bindparam("now", type_=DateTime(timezone=True)), bindparam("not_before", type_=DateTime(timezone=True)))


_END: Final = text(f"""
    UPDATE webhook_call SET state = 'failed', fault = 'the sequence was cancelled', answered_at = :now
    WHERE id IN (
        SELECT id FROM webhook_call AS c
        WHERE (state = 'planned' OR state = 'handed_over' AND not_before <= :now) AND {_STANDS.format("= 'cancelled'")}
        LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
    )
""")  # noqa: S608  see above
_LEFT: Final = text(f"""
    SELECT EXISTS (
        SELECT FROM webhook_call AS c
        WHERE (state = 'planned' OR state = 'handed_over' AND not_before <= :now) AND {_STANDS.format("= 'cancelled'")}
    )
""")  # noqa: S608  see above


def end_cancelled(connection: Connection, now: datetime, most: int) -> int:
    """Some of the calls that cancelled sequences ordered are not made any more; how many. Repeat: safe."""
    return connection.execute(_END, {"now": now, "most": most}).rowcount


def are_left(connection: Connection, now: datetime) -> bool:
    """Whether a cancelled sequence has calls that were not made."""
    return bool(connection.execute(_LEFT, {"now": now}).scalar())


def is_due(connection: Connection, now: datetime) -> bool:
    """Whether a call waits for a worker. Costs a look into a small index."""
    return bool(connection.execute(_IS_DUE, {"now": now}).scalar())


@dataclass
class Pauses:
    """Endpoints that do not answer, as one process knows them: each is left alone for longer and longer, and then
    tried with one call."""

    _silent: dict[str, tuple[int, datetime]] = field(default_factory=dict)  # how often in a row, and until when

    def room(self, endpoint: str, now: datetime) -> int:
        """How many calls of the endpoint may be under way now; a clock set back ends a pause."""
        if endpoint not in self._silent:
            return _PER_ENDPOINT
        return 0 if self._rests(self._silent[endpoint][1], now) else 1

    def note(self, endpoint: str, now: datetime, *, was_heard: bool) -> None:
        """The endpoint was called: it answered, whatever it said, or did not."""
        if was_heard:
            self._silent.pop(endpoint, None)
            return
        times, until = self._silent.get(endpoint, (0, now))
        if not self._rests(until, now):  # calls that were under way together are one silence
            self._silent[endpoint] = times + 1, now + _PAUSES[min(times, len(_PAUSES) - 1)]

    @staticmethod
    def _rests(until: datetime, now: datetime) -> bool:
        return timedelta() < until - now <= _PAUSES[-1]


def make_calls(workspace: Workspace, database: Database, clock: Clock, pauses: Pauses | None = None) -> int:
    """The calls that are due were made; how many were taken. An endpoint that does not answer holds up only its own.

    Takes some seconds, and at most the `timeout` of an endpoint beyond them. `pauses` is kept from turn to turn.
    Repeat: safe, also concurrently; a call whose worker is lost in the middle is made again, with its key.
    """
    turn = _Turn(workspace.settings, database, clock, pauses or Pauses())
    turn.begin()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return turn.work(pool, time.monotonic() + _TURN_S)


@dataclass
class _Turn:
    """One worker's turn at the calls: its threads make them, and it alone talks to the database."""

    settings: Settings
    database: Database
    clock: Clock
    pauses: Pauses
    under_way: dict[Future[Refused | None], Call] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # of endpoints that are to be called

    def begin(self) -> None:
        """Calls of paused sequences wait; of the others it is known whom they call."""
        now = self.clock.now()
        with self.database.begin() as connection:
            connection.execute(_SET_ASIDE, {"now": now, "later": now + _ASIDE, "most": _MOST_ASIDE})
            named = connection.execute(_ENDPOINTS, {"now": now}).scalars()
            self.names = sorted({*named, *self.settings.endpoints})

    def work(self, pool: ThreadPoolExecutor, until: float) -> int:
        """Calls were made until that time of the monotonic clock, and all of them are settled; how many were taken."""
        accepted = 0
        while True:
            if time.monotonic() < until:
                for call in self._claimed():
                    self.under_way[pool.submit(_made, self.settings.endpoints, call, self.clock)] = call
            if not self.under_way:
                return accepted
            done, _ = wait(self.under_way, _LOOK_S, FIRST_COMPLETED)
            accepted += self._settled([(self.under_way.pop(each), each.result()) for each in done])

    def _claimed(self) -> Sequence[Call]:
        now, most = self.clock.now(), _AT_ONCE - len(self.under_way)
        with self.database.begin() as connection:
            if not most or not is_due(connection, now) or not advisory.tried(connection, "calls are claimed"):
                return []
            names = random.sample(self.names, len(self.names))  # none of them is always the first
            given = {
                "endpoints": names, "rooms": [self._room(name, now) for name in names],
                "leases": [_LEASE + self._timeout(name) for name in names], "now": now, "most": most,
            }  # fmt: skip
            rows = connection.execute(_CLAIM, given).mappings().all()
        return [_call(row) for row in rows]

    def _room(self, endpoint: str, now: datetime) -> int:
        room = self.pauses.room(endpoint, now)
        mine = Counter(call.endpoint for call in self.under_way.values())[endpoint]
        return room if room > 1 or not mine else 0

    def _timeout(self, endpoint: str) -> timedelta:
        known = self.settings.endpoints.get(endpoint)
        return known.timeout if known is not None else timedelta()

    def _settled(self, made: Sequence[tuple[Call, Refused | None]]) -> int:
        """What came of the calls is in the database; how many of them were taken."""
        now = self.clock.now()
        with self.database.begin() as connection:
            for call, refused in made:
                _settle(connection, call, refused, _end(self.settings.endpoints.get(call.endpoint), call), now)
        for call, refused in made:
            self.pauses.note(call.endpoint, now, was_heard=refused is None or refused.was_heard)
        return sum(refused is None for _, refused in made)


def _call(row: RowMapping) -> Call:
    return Call(row["id"], row["call_key"], row["endpoint"], row["content"], row["attempt_count"], row["created_at"])


def _made(endpoints: Mapping[str, Endpoint], call: Call, clock: Clock) -> Refused | None:
    """Why the call was not taken; None: it was. Raises nothing: one call's fault is not that of the others."""
    endpoint = endpoints.get(call.endpoint)
    if endpoint is None:
        return Refused(f"clarion.yaml has no endpoint {call.endpoint!r}")
    try:
        body = json.dumps(call.content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": call.key,
            "Clarion-Signature": signature(endpoint.secret, body, clock.now()),
            "User-Agent": "Clarion",
        }
        post(endpoint.url, body, headers, timeout=endpoint.timeout, internal=endpoint.internal)
    except Refused as refused:
        return refused
    except Exception as error:  # noqa: BLE001  a mistake of ours: logged, and like any other call tried again
        _log.exception("call %d of %s could not be made", call.id, call.endpoint)
        return Refused(f"it could not be made: {type(error).__name__}", was_heard=True)
    return None


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The value of the header by which the other system knows that the call is ours, and of now."""
    seconds = str(int(now.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _end(endpoint: Endpoint | None, call: Call) -> datetime:
    length = endpoint.give_up_after if endpoint is not None else timedelta(days=1)
    return call.created_at + length


def _settle(connection: Connection, call: Call, refused: Refused | None, end: datetime, now: datetime) -> None:
    state, again = CallState.ACCEPTED, now
    if refused is not None:
        again = now + _WAITS[min(call.attempt, len(_WAITS)) - 1]
        state = CallState.FAILED if refused.is_final or again > end else CallState.PLANNED
        _log.warning("call %d of %s: %s", call.id, call.endpoint, refused)
    fault = str(refused)[:500] if refused is not None else None
    given = {"id": call.id, "attempt": call.attempt, "state": state.value, "fault": fault, "not_before": again}
    connection.execute(_SETTLE, given | {"now": now})
