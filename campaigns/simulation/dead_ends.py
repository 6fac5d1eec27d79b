"""Where a rehearsal came to nothing: what nobody reaches, what nobody leaves, what stands still."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from campaigns.simulation.collecting import Period
from campaigns.simulation.figures import DeadEnd, StepFigures

#: An enrolment that was due this long before the end, and did not move, is stuck.
_STUCK_AFTER: Final = timedelta(days=1)
_SEQUENCES: Final = """
    SELECT s.name, s.fault, v.definition, (SELECT count(*) FROM enrolment AS e WHERE e.sequence = s.name) AS heads
    FROM sequence AS s JOIN sequence_version AS v ON v.id = s.version_id WHERE s.state = 'active' ORDER BY s.name
"""
_REACHED: Final = """
    SELECT DISTINCT e.sequence, d.step FROM enrolment_step AS d JOIN enrolment AS e ON e.id = d.enrolment_id
    UNION SELECT DISTINCT sequence, step FROM enrolment
"""
_TIMED_OUT: Final = """
    SELECT e.sequence, d.step, count(*) AS heads FROM enrolment_step AS d JOIN enrolment AS e ON e.id = d.enrolment_id
    GROUP BY 1, 2 HAVING bool_and(d.outcome = 'timed_out') ORDER BY 1, 2
"""
_STUCK: Final = """
    SELECT sequence, step, count(*) AS heads FROM enrolment
    WHERE state = 'active' AND due_at < :late GROUP BY 1, 2 ORDER BY 1, 2
"""
_IN_AUDIENCE: Final = "SELECT DISTINCT campaign FROM run"


def of_messages(connection: Connection, steps: tuple[StepFigures, ...], applied: tuple[str, ...]) -> Iterator[DeadEnd]:
    """Campaigns that reach nobody, leave everybody out, or stand still."""
    for step in steps:
        if step.fault is not None and step.waiting:
            yield DeadEnd("stands_still", step.campaign, step.step, step.fault)
        if step.messages and step.messages == sum(step.skipped.values()):
            reason, count = next(iter(step.skipped.items()))
            yield DeadEnd(
                "everybody_skipped", step.campaign, step.step, f"all {step.messages:,}, {count:,} of them {reason}"
            )
    known = {step.campaign for step in steps} | set(connection.execute(text(_IN_AUDIENCE)).scalars())
    enrolled = set(connection.execute(text("SELECT name FROM sequence")).scalars())
    events = set(connection.execute(text("SELECT name FROM event")).scalars())
    for name in applied:
        if name not in known | enrolled | events:
            yield DeadEnd("nobody", name, None, "it has no time in these days, or its audience is empty at each")


def of_sequences(connection: Connection, period: Period) -> Iterator[DeadEnd]:
    """Steps nobody comes to, waits that never come true, passages that do not go on."""
    reached = {(row.sequence, row.step) for row in connection.execute(text(_REACHED))}
    for row in connection.execute(text(_SEQUENCES)).all():
        if row.fault is not None:
            yield DeadEnd("stands_still", row.name, None, row.fault)
        if not row.heads:
            yield DeadEnd("nobody", row.name, None, "nobody enters it")
            continue
        for step in _step_names(row.definition):
            if (row.name, step) not in reached:
                yield DeadEnd("step_not_reached", row.name, step, "nobody comes to this step")
    for row in connection.execute(text(_TIMED_OUT)).all():
        yield DeadEnd("wait_times_out", row.sequence, row.step, f"all {row.heads:,} who waited here waited in vain")
    for row in connection.execute(text(_STUCK), {"late": period.until - _STUCK_AFTER}).all():
        yield DeadEnd("enrolments_stuck", row.sequence, row.step, f"{row.heads:,} were due here and did not go on")


def _step_names(definition: Any) -> list[str]:
    """The steps of a stored sequence."""
    steps = definition["file"]["steps"]
    return [step["name"] for step in steps] if isinstance(steps, list) else list(steps)
