"""An edit is carried out: everybody who waits goes over to the new version, as the file says. A statement per step.

Writes `enrolment` and `enrolment_step`, under the lock of the sequence's row: nobody enters or goes on meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns.sequences import recall
from campaigns.sequences.fates import Fate, Lot
from campaigns.sequences.retiming import Retimed
from core.errors import StalePlan

#: Why a passage ended that an edit let out.
EDITED: Final = "step removed"


@dataclass(frozen=True, slots=True)
class Crossing:
    """From which version to which one of a sequence people go over, and when."""

    sequence: str
    old: int
    new: int
    now: datetime

    def values(self, **more: Any) -> dict[str, Any]:
        """What every statement here goes by, and more."""
        return {"sequence": self.sequence, "old": self.old, "new": self.new, "now": self.now} | more


_INSTANT: Final = DateTime(timezone=True)
_THERE: Final = "e.sequence = :sequence AND e.state = 'active' AND e.version_id = :old AND e.step = :step"

_STAY: Final = text(f"""
    UPDATE enrolment AS e SET version_id = :new, step = :to WHERE {_THERE}
""")  # noqa: S608  nothing of it comes from outside
_EXIT: Final = text(f"""
    UPDATE enrolment AS e SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = :because
    WHERE {_THERE} RETURNING id
""").bindparams(bindparam("now", type_=_INSTANT))  # noqa: S608
_TIMES: Final = (
    bindparam("now", type_=_INSTANT),
    bindparam("zones", type_=ARRAY(Text)),
    bindparam("nominals", type_=ARRAY(_INSTANT)),
    bindparam("dues", type_=ARRAY(_INSTANT)),
)
_RETIME: Final = text(f"""
    UPDATE enrolment AS e SET version_id = :new, step = :to, nominal_at = t.nominal_at, due_at = t.due_at
    FROM customer AS c, unnest(CAST(:zones AS text[]), :sinces, :nominals, :dues) AS t (zone, since, nominal_at, due_at)
    WHERE {_THERE} AND c.id = e.customer_id AND t.zone = coalesce(c.zone, '') AND t.since = e.step_since
""").bindparams(bindparam("sinces", type_=ARRAY(_INSTANT)), *_TIMES[1:])  # noqa: S608
_MOVE: Final = text(f"""
    UPDATE enrolment AS e
    SET version_id = :new, step = :to, nominal_at = t.nominal_at, due_at = t.due_at, step_since = :now
    FROM customer AS c, unnest(CAST(:zones AS text[]), :nominals, :dues) AS t (zone, nominal_at, due_at)
    WHERE {_THERE} AND c.id = e.customer_id AND t.zone = coalesce(c.zone, '')
""").bindparams(*_TIMES)  # noqa: S608
#: What they did under the old name they did. Who did a step of the new name long ago needs no second entry.
_RENAME: Final = text("""
    UPDATE enrolment_step AS d SET step = r.now
    FROM enrolment AS e, unnest(CAST(:olds AS text[]), CAST(:news AS text[])) AS r (was, now)
    WHERE e.sequence = :sequence AND e.state = 'active' AND e.version_id = :old
      AND d.enrolment_id = e.id AND d.step = r.was
      AND NOT EXISTS (SELECT FROM enrolment_step AS o WHERE o.enrolment_id = e.id AND o.step = r.now)
""")


def rename(connection: Connection, crossing: Crossing, renamed: Mapping[str, str]) -> None:
    """What those who go over did under a step's old name they did under its new one. Before they go over."""
    if renamed:
        connection.execute(_RENAME, crossing.values(olds=list(renamed), news=list(renamed.values())))


def carry_over(connection: Connection, crossing: Crossing, lots: Iterable[tuple[Lot, Retimed | None]]) -> int:
    """Everybody of the lots is where the file says; how many rows changed is returned.

    Atomic: within the caller's transaction. Repeat: safe; whoever went over is in the old version no more.

    Raises:
        StalePlan: somebody is left behind, whose customer came to live in another zone since their times were reckoned.
    """
    total = 0
    for lot, times in lots:
        changed = _one(connection, crossing, lot, times)
        if lot.fate is not Fate.FINISHES and changed < lot.crowd.people:
            raise StalePlan(
                f"{crossing.sequence}: {lot.crowd.people - changed:,} people at {lot.step} moved to another time zone "
                "while the plan was applied",
                hint="make the plan again and review it",
            )
        total += changed
    return total


def _one(connection: Connection, crossing: Crossing, lot: Lot, times: Retimed | None) -> int:
    if lot.fate is Fate.FINISHES:
        return 0
    values = crossing.values(step=lot.step)
    if lot.fate is Fate.EXITS:
        gone = connection.execute(_EXIT, values | {"because": EDITED}).scalars().all()
        recall.call_back(connection, gone, crossing.now)
        return len(gone)
    if times is None:
        return connection.execute(_STAY, values | {"to": lot.to}).rowcount
    rests = times.rests
    places = {
        "to": lot.to,
        "zones": [zone for zone, _ in rests],
        "nominals": [rest.nominal for rest in rests.values()],
        "dues": [rest.due_at for rest in rests.values()],
    }
    if lot.fate is Fate.MOVED:
        return connection.execute(_MOVE, values | places).rowcount
    return connection.execute(_RETIME, values | places | {"sinces": [since for _, since in rests]}).rowcount
