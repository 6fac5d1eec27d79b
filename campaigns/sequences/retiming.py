"""When people are due whom an edit leaves at a wait of another length, or moves: reckoned once per zone and instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.sequences.fates import Fate, Lot
from campaigns.sequences.steps import Step
from campaigns.sequences.waits import Clock, Rest

#: The zone in which people live ('': unknown), and when they came to their step; None: they come to it now.
Place = tuple[str, datetime | None]


@dataclass(frozen=True, slots=True)
class Retimed:
    """The new times of those of one lot, and how many are due when."""

    rests: Mapping[Place, Rest]
    due_at_once: int = 0
    earlier: int = 0  # than before, but not at once
    later: int = 0


_PLACES = text("""
    SELECT coalesce(c.zone, '') AS zone, e.step_since, e.nominal_at, count(*) AS people
    FROM enrolment AS e JOIN customer AS c ON c.id = e.customer_id
    WHERE e.sequence = :sequence AND e.state = 'active' AND e.version_id = :version AND e.step = :step
    GROUP BY 1, 2, 3
""")


def retimed(
    connection: Connection, sequence: str, version_id: int, lot: Lot, step: Step, clock: Clock, now: datetime
) -> Retimed:
    """When those of the lot, who are in this version, are due at the step they are at then.

    Who stays has waited since they came to the step; who is moved comes to it now. Whoever would have been due before
    `now` is due at once, or, where a time of day is waited for, at the next one.
    """
    rests: dict[Place, Rest] = {}
    at_once = earlier = later = 0
    for row in connection.execute(_PLACES, {"sequence": sequence, "version": version_id, "step": lot.step}):
        since = None if lot.fate is Fate.MOVED else row.step_since
        place = (row.zone, since)
        if place not in rests:
            rests[place] = _rest(clock, step, row.zone or None, since or now, now)
        nominal = rests[place].nominal
        if nominal <= now:
            at_once += row.people
        elif nominal < row.nominal_at:
            earlier += row.people
        elif nominal > row.nominal_at:
            later += row.people
    return Retimed(rests, at_once, earlier, later)


def _rest(clock: Clock, step: Step, zone: str | None, since: datetime, now: datetime) -> Rest:
    if step.wait is not None and step.wait.until is not None:
        return clock.rest(step, zone, now)  # of the times of day since they came, the first that has not passed
    rest = clock.rest(step, zone, since)
    return Rest(max(rest.nominal, now), max(rest.due_at, now))
