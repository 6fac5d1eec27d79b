"""Where people are in a sequence, what its steps came to, and the rules by which it balances."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, TextClause, select, text

from campaigns.sequences import records, versions
from campaigns.sequences.records import Record
from campaigns.status import Status, statuses
from core.schema import run


@dataclass(frozen=True, slots=True)
class StepHeads:
    """One step: who waits there, and what it came to for those who did it."""

    step: str
    action: str  # of the version in force; `former` where it has no such step
    waiting: int
    next_at: datetime | None  # when the first of those who wait goes on, or is asked
    outcomes: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        """The public form."""
        return {
            "step": self.step, "action": self.action, "waiting": self.waiting, "next_at": self.next_at,
            "outcomes": dict(self.outcomes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overview:
    """One sequence. `ended`: those who are through with it, by the reason. `broken`: the rules that do not hold."""

    record: Record
    topic: str
    active: int
    ended: Mapping[str, int]
    steps: tuple[StepHeads, ...] = ()
    former: Mapping[str, int] = field(default_factory=dict)  # those on their way in earlier versions
    runs: tuple[Status, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def entered(self) -> int:
        """How many passages there were."""
        return self.active + sum(self.ended.values())

    def document(self) -> dict[str, Any]:
        """The public form."""
        record = self.record
        return {
            "sequence": record.name, "state": record.state.value, "fault": record.fault, "topic": self.topic,
            "since": record.since, "entered": self.entered, "active": self.active, "ended": dict(self.ended),
            "in_former_versions": sum(self.former.values()), "steps": [step.document() for step in self.steps],
        }  # fmt: skip


def listed(connection: Connection) -> list[Overview]:
    """Every sequence that was applied, by name, without its steps."""
    return [_heads(connection, record) for record in records.known(connection)]


def shown(connection: Connection, name: str) -> Overview:
    """The sequence with its steps, its runs, and the rules that do not hold.

    Raises:
        NotFound: it was never applied.
    """
    record = records.named(connection, name)
    heads = _heads(connection, record)
    standing = versions.fetch(connection, record.version_id)
    return Overview(
        record, heads.topic, heads.active, heads.ended, _steps(connection, record, standing),
        _former(connection, record), tuple(runs_of(connection, name)), tuple(broken(connection, name)),
    )  # fmt: skip


def runs_of(connection: Connection, name: str) -> list[Status]:
    """The runs of its send steps, newest first."""
    has_any = select(run.c.id).where(run.c.campaign == name).limit(1)
    return statuses(connection, name) if connection.execute(has_any).first() is not None else []


_ENDED: Final = text("""
    SELECT state, coalesce(ended_because, state) AS because, count(*) AS heads
    FROM enrolment WHERE sequence = :name GROUP BY 1, 2 ORDER BY 3 DESC, 2
""")
_WAITING: Final = text("""
    SELECT step, count(*) AS heads, least(min(e.due_at), min(l.look_at)) AS next_at
    FROM enrolment AS e LEFT JOIN sequence_look AS l USING (sequence, step)
    WHERE sequence = :name AND e.state = 'active' GROUP BY step
""")
_OUTCOMES: Final = text("""
    SELECT s.step, s.outcome, count(*) AS heads FROM enrolment_step AS s JOIN enrolment AS e ON e.id = s.enrolment_id
    WHERE e.sequence = :name GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2
""")
_FORMER: Final = text("""
    SELECT v.fingerprint, count(*) AS heads FROM enrolment AS e JOIN sequence_version AS v ON v.id = e.version_id
    WHERE e.sequence = :name AND e.state = 'active' AND e.version_id <> :version_id GROUP BY 1
""")


def _heads(connection: Connection, record: Record) -> Overview:
    rows = connection.execute(_ENDED, {"name": record.name}).all()
    active = sum(row.heads for row in rows if row.state == "active")
    ended = {row.because: row.heads for row in rows if row.state != "active"}
    topic = versions.fetch(connection, record.version_id).definition.topic
    return Overview(record, topic, active, ended)


def _steps(connection: Connection, record: Record, standing: versions.Standing) -> tuple[StepHeads, ...]:
    waiting = {row.step: row for row in connection.execute(_WAITING, {"name": record.name})}
    outcomes: dict[str, dict[str, int]] = {}
    for row in connection.execute(_OUTCOMES, {"name": record.name}):
        outcomes.setdefault(row.step, {})[row.outcome] = row.heads
    known = standing.definition.order
    order = [*known, *sorted({*waiting, *outcomes} - set(known))]
    return tuple(
        StepHeads(
            name,
            standing.definition.steps[name].action if name in known else "former",
            waiting[name].heads if name in waiting else 0,
            waiting[name].next_at if name in waiting else None,
            outcomes.get(name, {}),
        )
        for name in order
    )


def _former(connection: Connection, record: Record) -> dict[str, int]:
    rows = connection.execute(_FORMER, {"name": record.name, "version_id": record.version_id})
    return {row.fingerprint: row.heads for row in rows}


# --- the rules ---------------------------------------------------------------------------------------------------

_RULES: Final[tuple[tuple[TextClause, str], ...]] = (
    (
        text("""
            SELECT count(*) FROM message AS m JOIN run AS r ON r.id = m.run_id
            WHERE r.campaign = :name AND m.customer_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM enrolment_step AS s JOIN enrolment AS e ON e.id = s.enrolment_id
                              WHERE s.message_id = m.id AND e.sequence = :name)
        """),
        "messages belong to no passage: nobody knows why they were made",
    ),
    (
        text("""
            SELECT count(*) FROM enrolment_step AS s JOIN enrolment AS e ON e.id = s.enrolment_id
            LEFT JOIN message AS m ON m.id = s.message_id
            WHERE e.sequence = :name AND m.id IS NULL
              AND (s.outcome = 'sent' OR s.outcome LIKE 'skipped:%' AND s.outcome <> 'skipped:already_messaged')
        """),
        "send steps were done without a message in the ledger",
    ),
    (
        text("""
            SELECT count(*) FROM (
                SELECT s.message_id FROM enrolment_step AS s JOIN enrolment AS e ON e.id = s.enrolment_id
                WHERE e.sequence = :name AND s.message_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1
            ) AS twice
        """),
        "messages belong to more than one passage",
    ),
    (
        text("""
            SELECT count(*) FROM (
                SELECT customer_id, entry_key FROM enrolment WHERE sequence = :name AND state = 'active'
                GROUP BY 1, 2 HAVING count(*) > 1
            ) AS twice
        """),
        "customers pass through it twice at once under one key",
    ),
    (
        text("""
            SELECT count(*) FROM enrolment AS e JOIN sequence_version AS v ON v.id = e.version_id
            WHERE e.sequence = :name AND e.state = 'active' AND NOT v.definition -> 'file' -> 'steps' ? e.step
        """),
        "passages wait at a step that their version has not",
    ),
    (
        text("""
            SELECT count(*) FROM enrolment AS e JOIN sequence AS s ON s.name = e.sequence
            WHERE s.name = :name AND e.state = 'completed'
              AND NOT EXISTS (SELECT FROM enrolment_step AS d WHERE d.enrolment_id = e.id)
              AND e.ended_because = 'completed'
        """),
        "passages were completed without a single step",
    ),
)


def broken(connection: Connection, name: str) -> list[str]:
    """The rules of the sequence's own rows that do not hold, in words; those of its runs are `balance`'s."""
    found = []
    for rule, words in _RULES:
        if number := connection.execute(rule, {"name": name}).scalar_one():
            found.append(f"{number:,} {words}")
    return found


def all_broken(connection: Connection) -> list[str]:
    """The same of every sequence, each with its name."""
    names = [record.name for record in records.known(connection)]
    return [f"{name}: {rule}" for name in names for rule in broken(connection, name)]
