"""What applying the files of a sequence would do: begin it, take who is in it over to a new version, or end it."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from campaigns.catalogue import Catalogue
from campaigns.sequences import beginning, crowds, fates, leaving, records, rewording, telling, versions
from campaigns.sequences.crowds import Crowd
from campaigns.sequences.edits import Edits
from campaigns.sequences.fates import Fate, Lot
from campaigns.sequences.planned import Intent, SequencePlan
from campaigns.sequences.records import Record, SequenceState
from campaigns.sequences.retiming import Retimed, retimed
from campaigns.sequences.telling import Told
from campaigns.sequences.versions import SequenceVersion, Standing
from campaigns.sequences.waits import Clock
from core.errors import ConfigError, Problem
from core.schema import enrolment
from segments.membership import segments_used
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Examined:
    """The plan of a sequence, with what carrying it out needs."""

    plan: SequencePlan
    pinned: SequenceVersion | None = None  # None: its file is gone
    standing: Standing | None = None  # what is in force; None: nothing ever was
    renamed: Mapping[str, str] | None = None
    lots: tuple[tuple[Lot, Retimed | None], ...] = ()


def names(connection: Connection, catalogue: Catalogue) -> Collection[str]:
    """The sequences of the files, and those in force that have no file any more."""
    going = [record.name for record in records.known(connection) if record.state is not SequenceState.CANCELLED]
    return {*catalogue.sequences, *going}


def plan(connection: Connection, catalogue: Catalogue, name: str, now: datetime) -> SequencePlan:
    """What applying would do; nothing is written.

    Raises:
        ConfigError: the file does not say what becomes of people who wait.
        PlanError: more people would enter than `limits.max_audience`.
    """
    return examine(connection, catalogue, name, now).plan


def examine(connection: Connection, catalogue: Catalogue, name: str, now: datetime) -> Examined:
    """The same, with what carrying it out needs."""
    record = records.find(connection, name)
    standing = versions.fetch(connection, record.version_id) if record is not None else None
    if name not in catalogue.sequences:
        return _without_file(connection, name, record, standing)
    pinned, policy = versions.pin(catalogue, name), Policy.of(catalogue.settings)
    if record is None or standing is None:
        found = beginning.entering(connection, pinned, now, policy)
        return Examined(_begun(pinned, Intent.START, found, None, None), pinned)
    if standing.version.fingerprint == pinned.fingerprint:
        return Examined(_nothing(connection, record, standing), pinned, standing)
    if record.state is SequenceState.CANCELLED:
        found = beginning.entering(connection, pinned, now, policy)
        begun = _begun(pinned, Intent.RESTART, found, standing, record)
        return Examined(replace(begun, cancelled_at=_cancelled_at(connection, record)), pinned, standing)
    return _edited(connection, catalogue, record, standing, pinned, now)


# --- without anybody in it ---------------------------------------------------------------------------------------


def _begun(
    pinned: SequenceVersion,
    intent: Intent,
    found: beginning.Entering,
    standing: Standing | None,
    record: Record | None,
) -> SequencePlan:
    base = standing.version.fingerprint if standing is not None else None
    return SequencePlan(
        pinned.sequence, intent, pinned.fingerprint, base, _digest(intent, found.counts.digest), entering=found,
        state=str(record.state) if record is not None else None, remarks=_how_people_enter(pinned),
    )  # fmt: skip


def _how_people_enter(pinned: SequenceVersion) -> tuple[str, ...]:
    enrol = pinned.definition.enrol
    if enrol.event is not None:
        return (f"people enter when they do {enrol.event!r}, from now on",)
    return ("people enter when they are named: clarion enrol, or the API",) if enrol.by is not None else ()


def _nothing(connection: Connection, record: Record, standing: Standing) -> SequencePlan:
    fingerprint = standing.version.fingerprint
    inside = crowds.waiting(connection, record.name, standing.id)
    cancelled = "it was cancelled; a changed file begins it again"
    return SequencePlan(
        record.name, Intent.NOTHING, fingerprint, fingerprint, _digest(Intent.NOTHING), state=str(record.state),
        inside=sum(crowd.people for crowd in inside.values()),
        finishing=crowds.finishing(connection, record.name, standing.id),
        remarks=(cancelled,) if record.state is SequenceState.CANCELLED else (),
    )  # fmt: skip


def _cancelled_at(connection: Connection, record: Record) -> datetime:
    """When the last passages ended by the cancellation; where there were none, when the sequence began."""
    mine = (enrolment.c.sequence == record.name) & (enrolment.c.ended_because == "cancelled")
    found: datetime | None = connection.execute(select(func.max(enrolment.c.ended_at)).where(mine)).scalar()
    return found or record.since


def _without_file(connection: Connection, name: str, record: Record | None, standing: Standing | None) -> Examined:
    assert record is not None and standing is not None  # noqa: S101, PT018  `names` found it in the database
    people = sum(crowd.people for crowd in crowds.waiting(connection, name, standing.id).values())
    people += crowds.finishing(connection, name, standing.id)
    if people:
        who = "1 person is" if people == 1 else f"{people:,} people are"
        text = f"the file is gone, and {who} in the sequence"
        hint = f"restore it, or let them out: clarion cancel {name}"
        raise ConfigError(problems=[Problem(f"campaigns/{name}.yaml", 0, text, hint)])
    base = standing.version.fingerprint
    return Examined(
        SequencePlan(
            name, Intent.END, "", base, _digest(Intent.END), state=str(record.state),
            remarks=("its file is gone, and nobody is in it: nobody enters any more",),
        ),
        None,
        standing,
    )  # fmt: skip


# --- with people in it -------------------------------------------------------------------------------------------


def _edited(
    connection: Connection,
    catalogue: Catalogue,
    record: Record,
    standing: Standing,
    pinned: SequenceVersion,
    now: datetime,
) -> Examined:
    name, policy = record.name, Policy.of(catalogue.settings)
    edits = Edits(standing.definition, pinned.definition, rewording.rewritten(connection, standing, pinned))
    waiting = crowds.waiting(connection, name, standing.id)
    lots = fates.lots(edits, waiting)
    did = crowds.did(connection, name, standing.id, fates.came_before(edits, lots))
    _refuse(catalogue, name, fates.unexplained(edits, lots, did))
    timed = tuple((lot, _times(connection, standing, pinned, lot, now)) for lot in lots)
    told = telling.told(edits, timed, did)
    told += leaving.told(connection, standing, pinned, [lot.step for lot in lots if lot.to], policy, now)
    told.sort(key=lambda one: edits.old.order.index(one.step))
    found = beginning.Entering()
    if _enters_otherwise(standing, pinned) and _is_looked_at(record, pinned):
        found = beginning.entering(connection, pinned, now, policy)
    made = SequencePlan(
        name, Intent.EDIT, pinned.fingerprint, standing.version.fingerprint,
        _digest(Intent.EDIT, found.counts.digest, *_touched(timed)), str(record.state),
        inside=sum(crowd.people for crowd in waiting.values()),
        finishing=crowds.finishing(connection, name, standing.id),
        entering=found, told=tuple(told), untouched=_untouched(edits, waiting, told),
        remarks=tuple(_remarks(standing, pinned, edits)),
    )  # fmt: skip
    return Examined(made, pinned, standing, edits.renamed, timed)


def _refuse(catalogue: Catalogue, name: str, found: Iterable[fates.Unexplained]) -> None:
    document = catalogue.places[name]
    if problems := [document.problem(one.path, one.message, one.hint) for one in found]:
        raise ConfigError(problems=problems)


def _times(
    connection: Connection, standing: Standing, pinned: SequenceVersion, lot: Lot, now: datetime
) -> Retimed | None:
    """New times, for those who need them."""
    if lot.to is None or not (lot.is_retimed or lot.fate is Fate.MOVED):
        return None
    step = pinned.definition.steps[lot.to]
    return retimed(connection, standing.sequence, standing.id, lot, step, Clock(pinned.zone, now), now)


def _enters_otherwise(standing: Standing, pinned: SequenceVersion) -> bool:
    """Other people may enter than did: by another rule, or by another meaning of its segments."""
    return _entrance(standing.version) != _entrance(pinned)


def _entrance(version: SequenceVersion) -> tuple[object, ...]:
    enrol = version.definition.enrol
    asked = [enrol.segment, *enrol.exclude] if enrol.segment is not None else []
    return enrol, {name: version.segments[name].where for name in segments_used(asked, version.vocabulary.plain)}


def _is_looked_at(record: Record, pinned: SequenceVersion) -> bool:
    """The segment is looked at (again)."""
    return pinned.definition.enrol.mode == "live" or record.looked_at is None


def _touched(timed: Iterable[tuple[Lot, Retimed | None]]) -> list[object]:
    """Whom applying does something to, and what."""
    return [
        [lot.step, str(lot.fate), lot.to, lot.crowd.people, lot.crowd.digest]
        for lot, times in timed
        if lot.fate is not Fate.STAYS or times is not None
    ]


def _untouched(edits: Edits, waiting: Mapping[str, Crowd], told: Iterable[Told]) -> dict[str, int]:
    mentioned = {one.step for one in told}
    return {name: waiting[name].people for name in edits.old.order if name in waiting and name not in mentioned}


def _remarks(standing: Standing, pinned: SequenceVersion, edits: Edits) -> Iterable[str]:
    old, new = standing.definition, pinned.definition
    if _enters_otherwise(standing, pinned):
        yield "who is inside stays inside; who enters from now on enters by the new rule"
        yield from _how_people_enter(pinned)
    if old.enrol.key != new.enrol.key:
        yield "passages are told apart by another property: who is inside may enter once more beside their passage"
    if old.goal != new.goal:
        yield "the goal changed: it is judged anew for everybody, before their next action"
    if edits.renamed:
        yield f"renamed: {telling.listed([f'{was} is {now} now' for was, now in edits.renamed.items()])}"
    if edits.added:
        yield f"new: {telling.listed(edits.added)}"
    if edits.gone:
        yield f"gone: {telling.listed(edits.gone)}"


def _digest(*parts: object) -> str:
    canonical = json.dumps([str(part) if isinstance(part, Intent) else part for part in parts])
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
