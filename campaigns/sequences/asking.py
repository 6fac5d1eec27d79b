"""Who waits for a rule to come true: it is asked of all who wait at a step together, and only who goes on is written.

Writes `sequence_look`, a time for each such step, and `enrolment.due_at`, under the lock of the sequence's row.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, select, text

from campaigns.duty import Circumstances
from campaigns.sequences import actions, passages, versions
from campaigns.sequences.steps import WaitStep
from campaigns.sequences.versions import Standing
from core.arrays import Ids
from core.schema import enrolment
from segments.membership import rule
from segments.waking import wakers

#: People who go on by one look. Of more, the rule is asked anew.
_AT_ONCE: Final = 100_000


def asked_at(standing: Standing, step: str) -> WaitStep | None:
    """The wait of a step whose rule has to be asked again and again: more than activities, which tell of themselves,
    can make it true. None: it is no such step."""
    content = standing.definition.steps.get(step)
    wait = content.wait if content is not None else None
    if wait is None or wait.rule is None or wakers(rule(wait.rule, standing.version.vocabulary)).alone:
        return None
    return wait


def apart(waits: Iterable[WaitStep], around: Circumstances) -> timedelta:
    """How long after one look the next one is."""
    return max(min(wait.look_every for wait in waits), around.looks_apart)


_EXPECT: Final = text("""
    INSERT INTO sequence_look (sequence, step, look_at) VALUES (:sequence, :step, :look_at)
    ON CONFLICT (sequence, step) DO UPDATE SET look_at = excluded.look_at WHERE sequence_look.look_at > excluded.look_at
""")


def expect(connection: Connection, sequence: str, step: str, look_at: datetime) -> None:
    """The rule is asked at `look_at`, if not sooner, of all who wait at the step. Repeat: safe."""
    connection.execute(_EXPECT, {"sequence": sequence, "step": step, "look_at": look_at})


def expect_all(connection: Connection, standing: Standing, now: datetime) -> None:
    """The rules of a version into which people were taken over are asked as soon as if all of them came now."""
    for step in standing.definition.steps:
        if (wait := asked_at(standing, step)) is not None:
            expect(connection, standing.sequence, step, now + wait.look_every)


# --- looks -----------------------------------------------------------------------------------------------------------

_DUE: Final = text("SELECT step FROM sequence_look WHERE sequence = :sequence AND look_at <= :now ORDER BY step")
_VERSIONS: Final = text("""
    SELECT DISTINCT version_id FROM enrolment
    WHERE sequence = :sequence AND state = 'active' AND step = :step AND due_at > :now ORDER BY version_id
""")
_LOOKED: Final = text("UPDATE sequence_look SET look_at = :look_at WHERE sequence = :sequence AND step = :step")
_FORGET: Final = text("DELETE FROM sequence_look WHERE sequence = :sequence AND step = :step")
# Who is in somebody else's hands is left to them, and asked again.
_HASTEN: Final = text("""
    UPDATE enrolment SET due_at = :now WHERE id IN (
        SELECT id FROM enrolment WHERE id = ANY(:ids) AND state = 'active' AND due_at > :now
        FOR NO KEY UPDATE SKIP LOCKED
    )
""").bindparams(bindparam("ids", type_=Ids))


def look(connection: Connection, around: Circumstances, sequence: str, now: datetime) -> None:
    """Those for whom it came true what they wait for, or what lets them out, are due, where the time of a look came.

    Repeat: safe. Atomic with the connection's transaction.
    """
    for step in connection.execute(_DUE, {"sequence": sequence, "now": now}).scalars().all():
        waits = waits_at(connection, sequence, step, now)
        place = {"sequence": sequence, "step": step}
        if not waits:
            connection.execute(_FORGET, place)
        elif all(_hasten(connection, standing, wait, step, now) for standing, wait in waits):
            look_at = now + apart((wait for _, wait in waits), around)
            connection.execute(_LOOKED, place | {"look_at": look_at})


def waits_at(connection: Connection, sequence: str, step: str, now: datetime) -> list[tuple[Standing, WaitStep]]:
    """The versions in which somebody waits at the step for a rule that has to be asked."""
    ids = connection.execute(_VERSIONS, {"sequence": sequence, "step": step, "now": now}).scalars().all()
    standings = [versions.fetch(connection, id_) for id_ in ids]
    return [(each, wait) for each in standings if (wait := asked_at(each, step)) is not None]


def rules_at(standing: Standing, wait: WaitStep) -> list[str]:
    """What is asked of who waits there: what lets them out, and what they wait for."""
    return [*(each for _, each in actions.leaving_rules(standing.definition)), wait.rule or ""]


def _hasten(connection: Connection, standing: Standing, wait: WaitStep, step: str, now: datetime) -> bool:
    """Those of one version for whom one of the rules holds are due; whether that is all of them."""
    mine = (enrolment.c.sequence == standing.sequence) & (enrolment.c.state == "active")
    there = mine & (enrolment.c.version_id == standing.id) & (enrolment.c.step == step) & (enrolment.c.due_at > now)
    fit = passages.fit(standing.version.vocabulary, rules_at(standing, wait), passages.rows_where(there), now)
    ids = connection.execute(select(fit.subquery("fit").c.id).distinct().limit(_AT_ONCE)).scalars().all()
    if not ids:
        return True
    hastened = connection.execute(_HASTEN, {"ids": list(ids), "now": now}).rowcount
    return hastened == len(ids) < _AT_ONCE
