"""A reviewed plan of sequences is carried out, or refused: begun, taken over to a new version, or ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, select, update

from campaigns.catalogue import Catalogue
from campaigns.runs import lock_campaign
from campaigns.sequences import asking, moves, records, versions
from campaigns.sequences.moves import Crossing
from campaigns.sequences.planned import Intent, Reviewed, SequencePlan
from campaigns.sequences.planning import Examined, examine
from core import audit
from core.database import analyze
from core.errors import PlanError, StalePlan
from core.people_lock import people_stay
from core.schema import sequence

_REVIEW: Final = "make the plan again and review it"
#: So many moved passages refresh the planner's statistics.
_ANALYZE_FROM: Final = 5_000


def apply(
    connection: Connection, catalogue: Catalogue, entries: Sequence[Mapping[str, Any]], now: datetime, actor: str
) -> list[dict[str, Any]]:
    """Exactly what was reviewed is so; what was done is told, a row for each sequence.

    Nobody enters or goes on meanwhile: passes of the engine are waited for, later ones wait. Atomic: yes, with the
    connection's transaction. Repeat: safe; what was applied has nothing pending any more.

    Raises:
        StalePlan: files, people or what is in force changed since; nothing was done.
    """
    reviewed = sorted((_read(entry) for entry in entries), key=lambda item: item.name)
    if not reviewed:
        return []
    people_stay(connection)
    return [row for item in reviewed if (row := _apply_one(connection, catalogue, item, now, actor)) is not None]


def _read(entry: Mapping[str, Any]) -> Reviewed:
    try:
        return Reviewed.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("others", *first["loc"])))
        raise PlanError(f"the plan file is damaged: {place}: {first['msg']}", hint="make the plan again") from None


def _apply_one(
    connection: Connection, catalogue: Catalogue, item: Reviewed, now: datetime, actor: str
) -> dict[str, Any] | None:
    _hold(connection, item.name)
    _check_files(catalogue, item)
    if item.intent is Intent.NOTHING or _was_applied(connection, item):
        return None
    found = examine(connection, catalogue, item.name, now)
    _check_same(item, found.plan)
    _CARRY_OUT[item.intent](connection, found, now)
    _note(connection, found.plan, actor, now)
    plan = found.plan
    return {
        "campaign": plan.name, "change": str(plan.intent), "people": plan.inside,
        "entering": plan.entering.counts.audience,
    }  # fmt: skip


def _hold(connection: Connection, name: str) -> None:
    """The sequence stands still until the transaction ends."""
    row = select(sequence.c.name).where(sequence.c.name == name).with_for_update()
    if connection.execute(row).scalar() is None:
        lock_campaign(connection, name)  # two that begin it wait for each other


# --- is it still what was reviewed? ------------------------------------------------------------------------------


def _check_files(catalogue: Catalogue, item: Reviewed) -> None:
    is_there = item.name in catalogue.sequences
    if (versions.pin(catalogue, item.name).fingerprint if is_there else "") != item.fingerprint:
        raise StalePlan(f"{item.name}: its files changed since the plan was made", hint="make the plan again")


def _was_applied(connection: Connection, item: Reviewed) -> bool:
    """What was reviewed is in force already."""
    record = records.find(connection, item.name)
    if record is None:
        return False
    if item.intent is Intent.END:
        return record.state is records.SequenceState.CANCELLED
    return versions.fetch(connection, record.version_id).version.fingerprint == item.fingerprint


def _check_same(item: Reviewed, found: SequencePlan) -> None:
    if (found.intent, found.base) != (item.intent, item.base):
        raise StalePlan(f"{item.name}: something else is in force than when the plan was made", hint=_REVIEW)
    if found.digest != item.digest:
        raise StalePlan(
            f"{item.name}: the people whom it touches changed since the plan was made (planned {item.people:,} inside "
            f"and {item.entering:,} entering, now {found.inside:,} and {found.entering.counts.audience:,})",
            hint=f"{_REVIEW}; where people keep coming, pause it first: clarion pause {item.name}",
        )


# --- carrying it out ---------------------------------------------------------------------------------------------


def _begin(connection: Connection, found: Examined, now: datetime) -> None:
    assert found.pinned is not None  # noqa: S101  it has a file
    standing = versions.store(connection, found.pinned, now)
    records.register(connection, found.plan.name, standing.id, now)


def _edit(connection: Connection, found: Examined, now: datetime) -> None:
    assert found.pinned is not None and found.standing is not None  # noqa: S101, PT018  as the intent says
    standing = versions.store(connection, found.pinned, now)
    crossing = Crossing(found.plan.name, found.standing.id, standing.id, now)
    moves.rename(connection, crossing, found.renamed or {})
    if moves.carry_over(connection, crossing, found.lots) >= _ANALYZE_FROM:
        analyze(connection, "enrolment")
    asking.expect_all(connection, standing, now)
    records.register(connection, found.plan.name, standing.id, now)


def _end(connection: Connection, found: Examined, _now: datetime) -> None:
    mine = sequence.c.name == found.plan.name
    connection.execute(update(sequence).where(mine).values(state="cancelled", fault=None))


_CARRY_OUT: Final = {Intent.START: _begin, Intent.RESTART: _begin, Intent.EDIT: _edit, Intent.END: _end}


def _note(connection: Connection, plan: SequencePlan, actor: str, now: datetime) -> None:
    told = [one.document() for one in plan.told]
    effects = {f"{one['step']}: {one['effect']}": one["people"] for one in told}
    verb = {Intent.START: "start", Intent.RESTART: "start", Intent.EDIT: "edit", Intent.END: "end"}[plan.intent]
    audit.record(
        connection, actor, f"sequence.{verb}", f"campaign:{plan.name}", at=now, fingerprint=plan.fingerprint,
        was=plan.base, inside=plan.inside, entering=plan.entering.counts.audience, effects=effects or None,
    )  # fmt: skip
