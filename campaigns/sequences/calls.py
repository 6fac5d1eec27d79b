"""Calls of other systems, as steps ordered them: handed to workers, and what came of each. Writes `webhook_call`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Integer, Interval, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from campaigns.sequences.http import Refused
from core import advisory

_log = logging.getLogger("clarion.calls")
#: Waits before a call is tried again; then the last one, again and again.
_WAITS: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
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


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint that may be called: how many more calls of it, and for how long a worker has each."""

    endpoint: str
    room: int
    lease: timedelta


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
    RETURNING c.id, c.call_key, c.endpoint, c.content, c.attempt_count, c.created_at
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
#: A cancelled sequence has calls that were not made.
ARE_LEFT: Final = f"""
    EXISTS (
        SELECT FROM webhook_call AS c
        WHERE (state = 'planned' OR state = 'handed_over' AND not_before <= :now) AND {_STANDS.format("= 'cancelled'")}
    )
"""


def end_cancelled(connection: Connection, now: datetime, most: int) -> int:
    """Some of the calls that cancelled sequences ordered are not made any more; how many. Repeat: safe."""
    return connection.execute(_END, {"now": now, "most": most}).rowcount


def is_due(connection: Connection, now: datetime) -> bool:
    """Whether a call waits for a worker. Costs a look into a small index."""
    return bool(connection.execute(_IS_DUE, {"now": now}).scalar())


def waiting_for(connection: Connection, now: datetime) -> list[str]:
    """Whom the calls that are due call. Those of paused sequences are put aside for a while. Repeat: safe."""
    connection.execute(_SET_ASIDE, {"now": now, "later": now + _ASIDE, "most": _MOST_ASIDE})
    return list(connection.execute(_ENDPOINTS, {"now": now}).scalars())


def claim(connection: Connection, places: Sequence[Place], now: datetime, most: int) -> list[Call]:
    """Calls that are due are this worker's; none while another worker is claiming some."""
    if not most or not is_due(connection, now) or not advisory.tried(connection, "calls are claimed"):
        return []
    given = {
        "endpoints": [place.endpoint for place in places], "rooms": [place.room for place in places],
        "leases": [place.lease for place in places], "now": now, "most": most,
    }  # fmt: skip
    return [Call(*row) for row in connection.execute(_CLAIM, given).all()]


def settle(connection: Connection, call: Call, refused: Refused | None, end: datetime, now: datetime) -> None:
    """The call was taken, or `refused`: then it is tried again later, and given up after `end`. Repeat: safe."""
    state, again = CallState.ACCEPTED, now
    if refused is not None:
        again = now + _WAITS[min(call.attempt, len(_WAITS)) - 1]
        state = CallState.FAILED if refused.is_final or again > end else CallState.PLANNED
        _log.warning("call %d of %s: %s", call.id, call.endpoint, refused)
    fault = str(refused)[:500] if refused is not None else None
    given = {"id": call.id, "attempt": call.attempt, "state": state.value, "fault": fault, "not_before": again}
    connection.execute(_SETTLE, given | {"now": now})
