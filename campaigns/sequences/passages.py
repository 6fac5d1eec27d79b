"""Passages as the engine carries them: claimed, moved in memory from step to step, and written once.

Writes `enrolment` and `enrolment_step`. Nobody does a step twice: the key of `enrolment_step` keeps that promise,
whatever else goes wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Select, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from core.arrays import Ids, among
from core.schema import enrolment


class EnrolmentState(StrEnum):
    """Where a passage is."""

    ACTIVE = "active"  #: it goes on
    COMPLETED = "completed"  #: it came past the last step
    EXITED = "exited"  #: it ended before that, with a reason


#: Which state may follow which.
TRANSITIONS: Final[Mapping[EnrolmentState, frozenset[EnrolmentState]]] = {
    EnrolmentState.ACTIVE: frozenset({EnrolmentState.COMPLETED, EnrolmentState.EXITED}),
    EnrolmentState.COMPLETED: frozenset(),
    EnrolmentState.EXITED: frozenset(),
}


@dataclass(slots=True)
class Passage:
    """One active passage in the engine's hands."""

    id: int
    customer_id: int
    step: str
    nominal: datetime
    zone: str | None  # of the customer
    has_come: bool = False  # to its step in this pass; False: it was there, and has waited


@dataclass(frozen=True, slots=True)
class Done:
    """A step that a passage did, with what came of it."""

    passage_id: int
    step: str
    outcome: str
    message_id: int | None = None


@dataclass
class Journal:
    """What a pass found out, to be written at its end: one statement for the steps, one for the passages."""

    now: datetime
    done: list[Done] = field(default_factory=list)
    places: list[tuple[int, str, str, datetime, datetime | None, str | None]] = field(default_factory=list)

    def rests(self, passage: Passage, *, nominal: datetime, due_at: datetime) -> None:
        """The passage stays at its step, and is looked at again at `due_at`."""
        self.places.append((passage.id, EnrolmentState.ACTIVE, passage.step, nominal, due_at, None))

    def ends(self, passage: Passage, because: str, state: EnrolmentState = EnrolmentState.EXITED) -> None:
        """The passage is over."""
        self.places.append((passage.id, state, passage.step, passage.nominal, None, because))

    def write(self, connection: Connection) -> None:
        """All of it is in the database. Repeat: not safe, which is the point."""
        if self.done:
            columns = zip(*((one.passage_id, one.step, one.outcome, one.message_id) for one in self.done), strict=True)
            given = dict(zip(("ids", "steps", "outcomes", "messages"), map(list, columns), strict=True))
            connection.execute(_NOTE, given | {"now": self.now})
        if self.places:
            names = ("ids", "states", "steps", "nominals", "dues", "becauses")
            columns = zip(*self.places, strict=True)
            connection.execute(_PLACE, dict(zip(names, map(list, columns), strict=True)) | {"now": self.now})


_INSTANTS: Final = ARRAY(DateTime(timezone=True))
_NOTE: Final = text("""
    INSERT INTO enrolment_step (enrolment_id, step, outcome, message_id, done_at)
    SELECT id, step, outcome, message_id, :now
    FROM unnest(:ids, CAST(:steps AS text[]), CAST(:outcomes AS text[]), CAST(:messages AS bigint[]))
        AS d (id, step, outcome, message_id)
""").bindparams(
    bindparam("ids", type_=Ids),
    bindparam("steps", type_=ARRAY(Text)),
    bindparam("outcomes", type_=ARRAY(Text)),
    bindparam("now", type_=DateTime(timezone=True)),
)
_PLACE: Final = text("""
    UPDATE enrolment AS e
    SET state = p.state, step = p.step, nominal_at = p.nominal_at, due_at = p.due_at,
        step_since = CASE WHEN e.step <> p.step THEN :now ELSE e.step_since END,
        ended_at = CASE WHEN p.due_at IS NULL THEN :now END, ended_because = p.because
    FROM unnest(:ids, CAST(:states AS text[]), CAST(:steps AS text[]), :nominals, :dues, CAST(:becauses AS text[]))
        AS p (id, state, step, nominal_at, due_at, because)
    WHERE e.id = p.id AND e.state = 'active'
""").bindparams(
    bindparam("ids", type_=Ids),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("steps", type_=ARRAY(Text)),
    bindparam("becauses", type_=ARRAY(Text)),
    bindparam("nominals", type_=_INSTANTS),
    bindparam("dues", type_=_INSTANTS),
    bindparam("now", type_=DateTime(timezone=True)),
)


#: Those who wait longest come first. Who is in somebody else's hands is left to them.
_CLAIM: Final = text("""
    SELECT e.id, e.version_id, e.customer_id, e.step, e.nominal_at, c.zone
    FROM (
        SELECT id, version_id, customer_id, step, nominal_at FROM enrolment
        WHERE sequence = :sequence AND state = 'active' AND due_at <= :now
        ORDER BY due_at, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
    ) AS e JOIN customer AS c ON c.id = e.customer_id ORDER BY e.id
""")


def claim(connection: Connection, sequence: str, now: datetime, most: int) -> dict[int, list[Passage]]:
    """The passages of the sequence that are due, at most so many, by version; they are this transaction's."""
    found: dict[int, list[Passage]] = {}
    rows = connection.execute(_CLAIM, {"sequence": sequence, "now": now, "most": most})
    for row in rows.all():
        passage = Passage(row.id, row.customer_id, row.step, row.nominal_at, row.zone)
        found.setdefault(row.version_id, []).append(passage)
    return found


def rows_of(ids: Iterable[int]) -> Select[Any]:
    """SQL: the passages with these ids, as rules are asked of them (`segments.membership.passing`)."""
    columns = [enrolment.c[name] for name in ("id", "customer_id", "given", "entered_at", "step_since")]
    return select(*columns).where(among(enrolment.c.id, ids))


_DID: Final = text("""
    SELECT enrolment_id FROM enrolment_step WHERE enrolment_id = ANY(:ids) AND step = :step
""").bindparams(bindparam("ids", type_=Ids))


def did_before(connection: Connection, step: str, ids: Sequence[int]) -> frozenset[int]:
    """Those who did the step once, before an edit brought them back to it."""
    return frozenset(connection.execute(_DID, {"ids": list(ids), "step": step}).scalars())
