"""Who waits for what people do: they are looked at as soon as it was done.

Writes `enrolment.due_at`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, DateTime, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns.sequences import versions
from campaigns.sequences.versions import Standing
from core.arrays import Ids, among
from core.schema import activity, enrolment, sequence_version
from segments.membership import rule
from segments.waking import wakers

#: Step and activity of every wait that an activity may end, by sequence and fingerprint: they never change.
_Waits = tuple[tuple[str, str], ...]
_KNOWN: Final[dict[tuple[str, str], _Waits]] = {}
_MOST_KNOWN: Final = 2_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """The activities with numbers above `after`, up to `last`; `ids`: these of them alone."""

    after: int
    last: int
    ids: Sequence[int] | None = None

    def holds(self) -> Any:
        """SQL: whether an activity is one of them."""
        if self.ids is not None:
            return among(activity.c.id, self.ids)
        return (activity.c.id > self.after) & (activity.c.id <= self.last)


def gather(connection: Connection, name: str, waits: list[tuple[int, str, str]]) -> None:
    """`waits` has those of the sequence: version, step and activity."""
    table = sequence_version.c
    found = connection.execute(select(table.id, table.fingerprint).where(table.sequence == name)).all()
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.clear()
    _learn(connection, {id_: (name, print_) for id_, print_ in found if (name, print_) not in _KNOWN})
    waits.extend((id_, *wait) for id_, print_ in found for wait in _KNOWN.get((name, print_), ()))


def _learn(connection: Connection, fresh: Mapping[int, tuple[str, str]]) -> None:
    """The waits of these versions are known. Of one that cannot be read, and that nobody passes through any more, they
    need not be."""
    if not fresh:
        return
    rows = connection.execute(select(sequence_version).where(among(sequence_version.c.id, list(fresh)))).mappings()
    for row in rows.all():
        try:
            standing = versions.from_row(row["id"], row["sequence"], row["definition"])
            _KNOWN[fresh[row["id"]]] = tuple(_waits(standing))
        except Exception:
            if _is_passed(connection, row["sequence"], row["id"]):
                raise


def _is_passed(connection: Connection, name: str, version_id: int) -> bool:
    passing_ = select(enrolment.c.id).where(
        enrolment.c.sequence == name, enrolment.c.version_id == version_id, enrolment.c.state == "active"
    )
    return connection.execute(passing_.limit(1)).first() is not None


def _waits(standing: Standing) -> Iterator[tuple[str, str]]:
    """Step and activity of every wait of the version that an activity may end."""
    for step, content in standing.definition.steps.items():
        if content.wait is not None and content.wait.rule is not None:
            waited = wakers(rule(content.wait.rule, standing.version.vocabulary))
            yield from ((step, each) for each in sorted(waited.activities))


# An enrolment that the engine has in hands is waited for, and its place of then is looked at: no wake is lost. An
# activity whose clock is ahead of ours is none before its time has come: who waits for it is looked at then.
_WAKE: Final = """
    UPDATE enrolment AS e SET due_at = t.at
    FROM (
        SELECT a.customer_id, w.version_id, w.step, min(greatest(:now, a.occurred_at)) AS at
        FROM activity AS a
        JOIN unnest(:versions, CAST(:steps AS text[]), CAST(:names AS text[])) AS w (version_id, step, name)
          ON w.name = a.name
        WHERE {} GROUP BY 1, 2, 3
    ) AS t
    WHERE e.customer_id = t.customer_id AND e.version_id = t.version_id AND e.step = t.step AND e.state = 'active'
      AND e.due_at > t.at
"""
_WAKE_TYPES: Final = (
    bindparam("versions", type_=Ids),
    bindparam("steps", type_=ARRAY(Text)),
    bindparam("names", type_=ARRAY(Text)),
    bindparam("now", type_=DateTime(timezone=True)),
)
_WAKE_RANGE: Final = text(_WAKE.format("a.id > :after AND a.id <= :last")).bindparams(*_WAKE_TYPES)
_WAKE_THESE: Final = text(_WAKE.format("a.id = ANY(:ids)")).bindparams(*_WAKE_TYPES, bindparam("ids", type_=Ids))


def wake(connection: Connection, waits: Sequence[tuple[int, str, str]], stretch: Stretch, now: datetime) -> None:
    """Whoever waits for something that was done is looked at now."""
    if not waits:
        return
    versions_, steps, activities = (list(column) for column in zip(*waits, strict=True))
    given: dict[str, Any] = {"versions": versions_, "steps": steps, "names": activities, "now": now}
    if stretch.ids is None:
        connection.execute(_WAKE_RANGE, given | {"after": stretch.after, "last": stretch.last})
    else:
        connection.execute(_WAKE_THESE, given | {"ids": list(stretch.ids)})
