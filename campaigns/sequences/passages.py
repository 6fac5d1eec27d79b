"""Passages as the engine carries them: claimed, moved in memory from step to step, and written once.

Writes `enrolment` and `enrolment_step`. Nobody does a step twice: the key of `enrolment_step` keeps that promise,
whatever else goes wrong.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    DateTime,
    Select,
    Text,
    bindparam,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.arrays import Ids, among
from core.schema import enrolment
from segments.membership import passing
from segments.vocabulary import Vocabulary


class EnrolmentState(StrEnum):
    """Where a passage is."""

    ACTIVE = "active"  #: it goes on
    COMPLETED = "completed"  #: it came past the last step
    EXITED = "exited"  #: it ended before that, with a reason


@dataclass(slots=True)
class Passage:
    """One active passage in the engine's hands."""

    id: int
    customer_id: int
    step: str
    nominal: datetime
    zone: str | None  # of the customer
    has_come: bool = False  # to its step in this pass; False: it was there, and has waited
    is_asked: bool = False  # whether it is to go on at all; nothing was done since


_ACTIVE: Final = EnrolmentState.ACTIVE.value
#: State, step, nominal time, time of the next look, reason of the end.
_Place = tuple[str, str, datetime, datetime | None, str | None]


@dataclass
class Journal:
    """What a pass found out, to be written at its end: one statement for the steps, one for the passages.

    Few places and outcomes are shared by many: each is written once, and people name it by number.
    """

    now: datetime
    _places: dict[_Place, list[int]] = field(default_factory=dict)
    _done: dict[tuple[str, str, bool], list[int]] = field(default_factory=dict)
    _messages: dict[tuple[str, str, bool], list[int]] = field(default_factory=dict)  # beside them, where there are any

    def did(self, people: Sequence[Passage], outcome: str, messages: Sequence[int] = ()) -> None:
        """They did the step all of them are at. `messages`: of each, where they have one."""
        if people:
            kind = (people[0].step, outcome, bool(messages))
            self._done.setdefault(kind, []).extend(passage.id for passage in people)
            self._messages.setdefault(kind, []).extend(messages)

    def rests(self, passage: Passage, *, nominal: datetime, due_at: datetime) -> None:
        """The passage stays at its step, and is looked at again at `due_at`."""
        place = (_ACTIVE, passage.step, nominal, due_at, None)
        self._places.setdefault(place, []).append(passage.id)

    def ends(self, passage: Passage, because: str, state: EnrolmentState = EnrolmentState.EXITED) -> None:
        """The passage is over."""
        place = (str(state), passage.step, passage.nominal, None, because)
        self._places.setdefault(place, []).append(passage.id)

    def write(self, connection: Connection) -> None:
        """All of it is in the database. Repeat: not safe, which is the point."""
        if self._done:
            steps, outcomes, _ = (list(column) for column in zip(*self._done, strict=True))
            messages = _joined(self._messages[kind] or ["NULL"] * len(ids) for kind, ids in self._done.items())
            given = {"steps": steps, "outcomes": outcomes, "messages": messages, "now": self.now}
            connection.execute(_NOTE, given | _numbered(self._done.values()))
        if self._places:
            names = ("states", "steps", "nominals", "dues", "becauses")
            given = dict(zip(names, map(list, zip(*self._places, strict=True)), strict=True))
            connection.execute(_PLACE, given | {"now": self.now} | _numbered(self._places.values()))


def _numbered(groups: Collection[Sequence[int]]) -> dict[str, str]:
    """Ids, and beside each the number of its group from 1, as PostgreSQL writes arrays."""
    return {"ids": _joined(groups), "kinds": _joined([kind] * len(ids) for kind, ids in enumerate(groups, 1))}


def _joined(groups: Iterable[Sequence[int | str]]) -> str:
    return "{" + ",".join(",".join(map(str, group)) for group in groups) + "}"


_TEXTS: Final = ARRAY(Text)
_INSTANTS: Final = ARRAY(DateTime(timezone=True))
_NOTE: Final = text("""
    INSERT INTO enrolment_step (enrolment_id, step, outcome, message_id, done_at)
    SELECT d.id, k.step, k.outcome, d.message_id, :now
    FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS int[]), CAST(:messages AS bigint[])) AS d (id, kind, message_id)
    JOIN unnest(:steps, :outcomes) WITH ORDINALITY AS k (step, outcome, number) ON k.number = d.kind
""").bindparams(
    bindparam("steps", type_=_TEXTS),
    bindparam("outcomes", type_=_TEXTS),
    bindparam("now", type_=DateTime(timezone=True)),
)
_PLACE: Final = text("""
    UPDATE enrolment AS e
    SET state = k.state, step = k.step, nominal_at = k.nominal_at, due_at = k.due_at,
        step_since = CASE WHEN e.step <> k.step THEN :now ELSE e.step_since END,
        ended_at = CASE WHEN k.due_at IS NULL THEN :now END, ended_because = k.because
    FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS int[])) AS p (id, kind)
    JOIN unnest(:states, :steps, :nominals, :dues, :becauses)
        WITH ORDINALITY AS k (state, step, nominal_at, due_at, because, number) ON k.number = p.kind
    WHERE e.id = p.id AND e.state = 'active'
""").bindparams(
    bindparam("states", type_=_TEXTS),
    bindparam("steps", type_=_TEXTS),
    bindparam("becauses", type_=_TEXTS),
    bindparam("nominals", type_=_INSTANTS),
    bindparam("dues", type_=_INSTANTS),
    bindparam("now", type_=DateTime(timezone=True)),
)


# Those who wait longest come first; among those who are due at one instant no order is asked for, which would sort all
# of them for each chunk. Who is in somebody else's hands is left to them. The zone is looked up person by person: of a
# million customers a join reads all, which took longer than everything else here.
_CLAIM: Final = text("""
    SELECT e.id, e.version_id, e.customer_id, e.step, e.nominal_at,
           (SELECT c.zone FROM customer AS c WHERE c.id = e.customer_id) AS zone
    FROM (
        SELECT id, version_id, customer_id, step, nominal_at FROM enrolment
        WHERE sequence = :sequence AND state = 'active' AND due_at <= :now
        ORDER BY due_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
    ) AS e ORDER BY e.id
""")


def claim(connection: Connection, sequence: str, now: datetime, most: int) -> dict[int, list[Passage]]:
    """The passages of the sequence that are due, at most so many, by version; they are this transaction's."""
    found: dict[int, list[Passage]] = {}
    rows = connection.execute(_CLAIM, {"sequence": sequence, "now": now, "most": most})
    last = now
    for id_, version_id, customer_id, step, nominal, zone in rows.all():  # by name each takes five times as long
        last = last if nominal == last else nominal  # an instant shared by many keeps its hash
        found.setdefault(version_id, []).append(Passage(id_, customer_id, step, last, zone))
    return found


def rows_where(condition: ColumnElement[bool]) -> Select[Any]:
    """SQL: the passages of which the condition holds, as rules are asked of them (`segments.membership.passing`)."""
    columns = [enrolment.c[name] for name in ("id", "customer_id", "given", "entered_at", "step_since")]
    return select(*columns).where(condition)


def fit(vocabulary: Vocabulary, rules: Sequence[str], passages: Select[Any], now: datetime) -> CompoundSelect[Any]:
    """SQL: those of the `rows_where` for whom rules hold, by `id`, and the `number` of each rule that does."""
    rows = passages.cte("passage").prefix_with("MATERIALIZED")
    asked = [passing(each, vocabulary, rows, now=now) for each in rules]
    return union_all(
        *(
            select(query.subquery(f"fit_{number}"), literal(number).label("number"))
            for number, query in enumerate(asked)
        )
    )


def fitting(
    connection: Connection, vocabulary: Vocabulary, rules: Sequence[str], ids: Sequence[int], now: datetime
) -> Mapping[int, int]:
    """Those of the passages for whom one of the rules holds, and the number of the first that does."""
    if not ids or not rules:
        return {}
    found: dict[int, int] = {}
    for id_, number in connection.execute(fit(vocabulary, rules, rows_where(among(enrolment.c.id, ids)), now)).all():
        found[id_] = min(found.get(id_, number), number)
    return found


_DID: Final = text("""
    SELECT step, enrolment_id FROM enrolment_step WHERE enrolment_id = ANY(:ids) AND step = ANY(:steps)
""").bindparams(bindparam("ids", type_=Ids), bindparam("steps", type_=ARRAY(Text)))


def did_before(connection: Connection, steps: Sequence[str], ids: Sequence[int]) -> dict[str, set[int]]:
    """Of these steps, which were done by whom once, before an edit brought them back."""
    found: dict[str, set[int]] = {}
    for step, id_ in connection.execute(_DID, {"ids": list(ids), "steps": list(steps)}).all():
        found.setdefault(step, set()).add(id_)
    return found
