"""The passages of one customer through a sequence, from stored facts alone: why they began, each step, what next."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, select, text

from campaigns.reasons import SENTENCES, sentence
from campaigns.sequences import versions
from campaigns.sequences.records import Record, SequenceState
from campaigns.sequences.steps import Step
from campaigns.sequences.telling import wait_words
from core.local_time import shown_in
from core.schema import enrolment, sequence_look

_SOURCES: Final = {
    "segment": "was found in segment {segment}",
    "event": "did {event}",
    "api": "was named by another program",
    "operator": "was named by an operator",
}
#: States of a step's message, in words.
_STATES: Final = {
    "planned": "waits to be sent",
    "handed_over": "is on its way",
    "accepted": "was accepted",
    "deferred": "was put off",
    "failed": "failed",
    "unknown": "is in doubt",
    "delivered": "was delivered",
    "bounced": "bounced",
    "complained": "led to a complaint",
}
#: What came of a step, in words; what follows a colon is told after it.
_OUTCOMES: Final = {
    "sent": "message {message} was made",
    "waited": "the wait is over",
    "came_true": "what was waited for came true",
    "timed_out": "what was waited for did not come true in time",
    "no_fork_fits": "no rule of the branch fitted",
    "went": "went to {rest}",
    "skipped": "no message: {rest}",
    "task": "an employee got the task",
    "updated": "attributes of the customer were set",
    "webhook": "another system is called",
    "exit": "left here",
}
_ENDS: Final = {
    "completed": "came past the last step",
    "goal": "reached the goal",
    "exit_when": "exit_when fitted",
    "cancelled": "the sequence was cancelled",
    "exit": "left with the reason {rest}",
    "operator": "was taken out by an operator: {rest}",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is on record of one customer in one sequence. `facts`: each with its time."""

    outcome: str
    reason: str
    at: datetime | None
    facts: tuple[tuple[datetime, str], ...]


def passages_of(connection: Connection, person: RowMapping, record: Record, zone: str, now: datetime) -> Told:
    """What the customer `person` passed in the sequence, oldest first; `reason`: where they wait, since when and until
    when, by the clock of `zone`, or why it is over.

    `outcome`: active, completed or exited of the newest passage; not_enrolled.
    """
    rows = _passages(connection, person["id"], record.name)
    facts = [fact for row in rows for fact in _told(connection, record, row, zone)]
    if not rows:
        reason = "never entered this sequence"
        return Told("not_enrolled", reason, None, tuple(facts))
    last = rows[-1]
    if last["state"] != "active":
        reason = _worded(_ENDS, last["ended_because"] or last["state"], {})
        at = last["ended_at"]
    else:
        reason, at = _waits(connection, record, last, zone, now), last["step_since"]
    return Told(last["state"], reason, at, tuple(facts))


def _passages(connection: Connection, customer_id: int, name: str) -> list[RowMapping]:
    mine = (enrolment.c.customer_id == customer_id) & (enrolment.c.sequence == name)
    look = sequence_look.c
    asked = (look.sequence == enrolment.c.sequence) & (look.step == enrolment.c.step)
    next_at = func.least(enrolment.c.due_at, look.look_at).label("look_at")
    query = select(enrolment, next_at).join(sequence_look, asked, isouter=True)
    return list(connection.execute(query.where(mine).order_by(enrolment.c.id)).mappings())


def _told(connection: Connection, record: Record, row: RowMapping, zone: str) -> Iterator[tuple[datetime, str]]:
    """One passage from its beginning to its end."""
    standing = versions.fetch(connection, row["version_id"])
    asked = standing.definition.enrol
    source = _SOURCES.get(row["source"], row["source"]).format(segment=asked.segment, event=asked.event)
    named = f" under the key {row['entry_key']!r}" if row["entry_key"] else ""
    given = f", given {', '.join(sorted(row['given']))}" if row["given"] else ""
    yield (row["entered_at"], f"entered {record.name} (passage {row['number']}{named}): {source}{given}")
    for step in _steps(connection, row["id"]):
        words = _worded(_OUTCOMES, step["outcome"], {"message": step["message_id"]})
        yield (step["done_at"], f"{step['step']}: {words}{_became(step, zone)}")
    if row["ended_at"] is not None:
        yield (row["ended_at"], f"{row['state']}: {_worded(_ENDS, row['ended_because'] or row['state'], {})}")


def _became(step: RowMapping, zone: str) -> str:
    """What became of the step's message, if it has one that was not skipped."""
    if step["state"] is None:
        return ""
    until = shown_in(zone, step["not_before"])
    held = f" ({step['hold_reason']}, until {until})" if step["hold_reason"] else ""
    return f", which {_STATES[step['state']]}{held}"


_STEPS: Final = text("""
    SELECT s.step, s.outcome, s.message_id, s.done_at, m.state, m.hold_reason, m.not_before
    FROM enrolment_step AS s LEFT JOIN message AS m ON m.id = s.message_id AND m.state <> 'skipped'
    WHERE s.enrolment_id = :id ORDER BY s.done_at, s.ctid
""")


def _steps(connection: Connection, enrolment_id: int) -> list[RowMapping]:
    return list(connection.execute(_STEPS, {"id": enrolment_id}).mappings())


def _worded(words: dict[str, str], outcome: str, more: dict[str, Any]) -> str:
    kind, _, rest = outcome.partition(":")
    reason = rest.partition(":")[0]
    told = f"{rest} ({sentence(rest)})" if kind == "skipped" and reason in {*SENTENCES, "suppressed"} else rest
    return words.get(kind, outcome).format(rest=told, **more)


# --- where it stands ---------------------------------------------------------------------------------------------


def _waits(connection: Connection, record: Record, row: RowMapping, zone: str, now: datetime) -> str:
    standing = versions.fetch(connection, row["version_id"])
    step = standing.definition.steps.get(row["step"])
    former = "" if row["version_id"] == record.version_id else ", in an earlier version of the sequence"
    since = shown_in(zone, row["step_since"])
    told = f"waits at {row['step']} since {since}{former}: {_until(step, row, zone, now)}"
    if record.state is SequenceState.PAUSED:
        told += f"; the sequence is paused{f' ({record.fault})' if record.fault else ''}"
    elif record.fault:
        told += f"; at present it does not go on: {record.fault}"
    return told


def _until(step: Step | None, row: RowMapping, zone: str, now: datetime) -> str:
    """What it waits for, and until when."""
    due, wait = shown_in(zone, row["due_at"]), None if step is None else step.wait
    if wait is not None and wait.rule is not None:
        end, look_at = shown_in(zone, row["nominal_at"]), shown_in(zone, row["look_at"])
        return f"until {wait.rule} is true, at the latest {end}; it is looked at next at {look_at}"
    if row["due_at"] <= now:
        return f"it is due since {due}"
    if step is None or wait is None:
        return f"until {due}"
    return f"for {wait.span}, until {due}" if wait.span is not None else f"{wait_words(step)}, which is {due}"
