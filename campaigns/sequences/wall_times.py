"""Waits until a time of day end at that time, also where the zone's rules changed after they began (S-8.1).

Waits for a length of time keep the end that was reckoned when they began: nobody named a time of day.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from campaigns.duty import Circumstances
from campaigns.sequences import versions
from campaigns.sequences.steps import WaitStep
from core.local_time import nearest_local, zone_or

_STEPS: Final = text("""
    SELECT sequence, version_id, step FROM enrolment WHERE state = 'active' AND due_at > :now
    GROUP BY sequence, version_id, step ORDER BY version_id, step
""")
_PLACES: Final = text("""
    SELECT c.zone, e.due_at FROM enrolment AS e JOIN customer AS c ON c.id = e.customer_id
    WHERE e.sequence = :sequence AND e.state = 'active' AND e.due_at > :now
      AND e.version_id = :version AND e.step = :step
    GROUP BY c.zone, e.due_at
""")
_MOVE: Final = text("""
    UPDATE enrolment AS e SET nominal_at = :at, due_at = :at FROM customer AS c
    WHERE c.id = e.customer_id AND e.sequence = :sequence AND e.state = 'active' AND e.due_at = :was
      AND e.version_id = :version AND e.step = :step AND c.zone IS NOT DISTINCT FROM :zone
""")


def follow(connection: Connection, _around: Circumstances, now: datetime) -> int:
    """Whoever waits for a time of day waits for the instant that it is by the rules of today; how many were moved.

    Where that instant is over, the wait ends when it was to. Repeat: safe. Atomic with the connection's transaction.
    """
    moves = list(_moves(connection, now))  # before the first of them: nobody is moved twice
    return sum(connection.execute(_MOVE, move).rowcount for move in moves)


def _moves(connection: Connection, now: datetime) -> Iterator[dict[str, object]]:
    for row in connection.execute(_STEPS, {"now": now}).all():
        standing = versions.fetch(connection, row.version_id)
        wait = _wait(standing, row.step)
        if wait is None or wait.until is None:
            continue
        here = {"sequence": row.sequence, "version": row.version_id, "step": row.step}
        for place in connection.execute(_PLACES, here | {"now": now}).all():
            zone = zone_or(place.zone, standing.version.zone) if wait.zone == "recipient" else wait.zone
            at = nearest_local(place.due_at, zone, wait.until, wait.on)
            if at != place.due_at and at > now:
                yield here | {"zone": place.zone, "was": place.due_at, "at": at}


def _wait(standing: versions.Standing, name: str) -> WaitStep | None:
    step = standing.definition.steps.get(name)
    return None if step is None else step.wait
