"""Looks of sequences that can find nothing are left out: on a virtual clock they would be most of what is done.

A look at a segment, or at what somebody waits for, finds what the last one found, nothing, as long as nothing else was
written since, and no instant came at which time alone changes what its rules say (`segments.turning`). It counts as
made: the next one is due when it would be. Reads all passages at each instant: for the small worlds of tests.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from campaigns.duty import Circumstances
from campaigns.sequences import asking, looking, records, versions
from campaigns.sequences.records import SequenceState
from campaigns.sequences.versions import Standing
from segments.membership import rule
from segments.turning import Turn, first_turn, turns
from segments.vocabulary import Vocabulary

_MOMENT: Final = timedelta(microseconds=1)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
# Everything but the times of looks. What a savepoint took back is counted, too.
_WRITTEN: Final = text("""
    SELECT (SELECT sum(pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid)
                       + pg_stat_get_xact_tuples_deleted(oid))
            FROM pg_class
            WHERE relnamespace = pg_my_temp_schema() AND relname NOT IN ('sequence', 'sequence_look', 'enrolment')),
           (SELECT string_agg((to_jsonb(s) - 'looked_at')::text, ',' ORDER BY s.name) FROM sequence AS s),
           (SELECT string_agg((to_jsonb(e) - 'due_at')::text, ',' ORDER BY e.id) FROM enrolment AS e)
""")
_DUE: Final = text("""
    SELECT e.due_at FROM enrolment AS e JOIN sequence AS s ON s.name = e.sequence
    WHERE e.state = 'active' AND s.state = 'active'
""")
_WAITED_AT: Final = text("""
    SELECT l.sequence, l.step, l.look_at FROM sequence_look AS l JOIN sequence AS s ON s.name = l.sequence
    WHERE s.state = 'active' ORDER BY 1, 2
""")
_LOOKED: Final = text("UPDATE sequence SET looked_at = :at WHERE name = :sequence")
_ASKED: Final = text("UPDATE sequence_look SET look_at = :at WHERE sequence = :sequence AND step = :step")


@dataclass(frozen=True, slots=True)
class _Look:
    """One that is made again and again: of a sequence at its segment, or at what is waited for at a step."""

    sequence: str
    step: str | None  # None: at its segment
    last: datetime
    every: timedelta
    turns: frozenset[Turn] | None  # of all rules it asks; None: it may find others at any time

    def first(self, since: datetime) -> datetime:
        """The first of those to come that is not before `since`."""
        return self.last + self.every * max(-((self.last - since) // self.every), 1)

    def last_before(self, bound: datetime) -> datetime:
        """The last one before `bound`; it may be the last that was made."""
        return self.last + self.every * max(-((self.last - bound) // self.every) - 1, 0)


@dataclass
class VainLooks:
    """Those of one world."""

    connection: Connection
    circumstances: Circumstances
    _written: object = None
    _written_at: datetime = _NEVER
    _turns: dict[tuple[int, str | None], frozenset[Turn] | None] = field(default_factory=dict)  # by version and step

    def leave_out(self, now: datetime, until: datetime, other: datetime | None) -> None:
        """The looks after `now`, when nothing is left to be done, that can find nothing count as made: up to `until`,
        and before `other`, when something else happens."""
        self._notice(now)
        looks = [*self._at_segments(), *self._at_waits(now)]
        vain = [look for look in looks if look.turns is not None and look.last > self._written_at]
        if not vain:
            return
        needed = [look.last + look.every for look in looks if look not in vain]
        due = self.connection.execute(_DUE).scalars()
        stops = [until + _MOMENT, other or until + _MOMENT, *needed, *due, *self._turning(vain)]
        for look in vain:
            self._count_as_made(look, look.last_before(min(stops)))

    def _notice(self, now: datetime) -> None:
        written = tuple(self.connection.execute(_WRITTEN).one())
        if written != self._written:
            self._written, self._written_at = written, now

    def _count_as_made(self, look: _Look, at: datetime) -> None:
        if at > look.last:
            note, told = (_LOOKED, at) if look.step is None else (_ASKED, at + look.every)
            self.connection.execute(note, {"sequence": look.sequence, "step": look.step, "at": told})

    def _turning(self, vain: Sequence[_Look]) -> Iterator[datetime]:
        """When each of them is made because time came to a turn of somebody's rules."""
        known = {turn for look in vain for turn in look.turns or ()}
        turn = first_turn(self.connection, known, min(look.last for look in vain))
        if turn is not None:
            yield from (look.first(turn) for look in vain)

    # --- which there are --------------------------------------------------------------------------------------------

    def _at_segments(self) -> Iterator[_Look]:
        for record in records.known(self.connection):
            standing = versions.fetch(self.connection, record.version_id)
            due_at = looking.due_at(self.circumstances, record, standing)
            if due_at is not None and record.state is SequenceState.ACTIVE:
                every = max(standing.definition.enrol.look_every, self.circumstances.looks_apart)
                known = None if record.looked_at is None else self._turns_of(standing, None)
                yield _Look(record.name, None, due_at - every, every, known)

    def _at_waits(self, now: datetime) -> Iterator[_Look]:
        for sequence, step, look_at in self.connection.execute(_WAITED_AT).all():
            waits = asking.waits_at(self.connection, sequence, step, now)
            if waits:
                every = asking.apart((wait for _, wait in waits), self.circumstances)
                known = _joined(self._turns_of(standing, step) for standing, _ in waits)
                yield _Look(sequence, step, look_at.astimezone(UTC) - every, every, known)

    def _turns_of(self, standing: Standing, step: str | None) -> frozenset[Turn] | None:
        """Those of all rules that a look asks at this step, or at the segment."""
        key = (standing.id, step)
        if key not in self._turns:
            self._turns[key] = _of_wait(standing, step) if step is not None else _of_segment(standing)
        return self._turns[key]


def _of_segment(standing: Standing) -> frozenset[Turn] | None:
    asked, vocabulary = standing.definition.enrol, standing.version.vocabulary.plain
    found = _together([asked.segment or "", *asked.exclude], vocabulary)
    if found is None or asked.again_after is None:
        return found
    return found | {Turn("enrolment", "entered_at", asked.again_after)}


def _of_wait(standing: Standing, step: str) -> frozenset[Turn] | None:
    wait = standing.definition.steps[step].wait
    assert wait is not None  # noqa: S101  as `asking` says
    return _together(asking.rules_at(standing, wait), standing.version.vocabulary)


def _together(rules: Iterable[str], vocabulary: Vocabulary) -> frozenset[Turn] | None:
    return _joined(turns(rule(each, vocabulary)) for each in rules)


def _joined(each: Iterable[frozenset[Turn] | None]) -> frozenset[Turn] | None:
    """All of them; None: one is not known."""
    found: set[Turn] = set()
    for some in each:
        if some is None:
            return None
        found |= some
    return frozenset(found)
