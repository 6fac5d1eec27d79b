"""Who would be let out, or not be written to, by rules that an edit changed: counted before anything is done."""

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from campaigns.sequences.actions import leaving_rules
from campaigns.sequences.passages import rows_where
from campaigns.sequences.telling import Effect, Told
from campaigns.sequences.versions import SequenceVersion, Standing
from core.schema import customer, enrolment
from segments.membership import passing
from suppression.gate import skip_reason
from suppression.policy import Policy


def told(
    connection: Connection,
    standing: Standing,
    pinned: SequenceVersion,
    steps: Collection[str],
    policy: Policy,
    now: datetime,
) -> Iterator[Told]:
    """How many of those who wait at these steps, and go over to the new version, its changed rules keep from more."""
    there = _there(standing, steps)
    if _asks_otherwise(standing.version, pinned):
        for because, rule in leaving_rules(pinned.definition):
            yield from _leaving(connection, pinned, there, because, rule, now)
    if standing.definition.topic != pinned.definition.topic:
        yield from _forbidden(connection, standing, pinned, there, policy, now)


def _there(standing: Standing, steps: Collection[str]) -> ColumnElement[bool]:
    """SQL over `enrolment`: they wait at one of the steps."""
    mine = (enrolment.c.sequence == standing.sequence) & (enrolment.c.version_id == standing.id)
    return mine & (enrolment.c.state == "active") & enrolment.c.step.in_(steps)


def _asks_otherwise(was: SequenceVersion, now: SequenceVersion) -> bool:
    """Others than before may fit what lets people out: by its words, or by what segments mean."""
    return _asked(was) != _asked(now)


def _asked(version: SequenceVersion) -> list[tuple[str, str]]:
    segments = sorted((name, segment.where) for name, segment in version.segments.items())
    return [*leaving_rules(version.definition), *segments]


def _leaving(
    connection: Connection, pinned: SequenceVersion, there: ColumnElement[bool], because: str, rule: str, now: datetime
) -> Iterator[Told]:
    passages = rows_where(there).cte("passage").prefix_with("MATERIALIZED")
    fitting = passing(rule, pinned.vocabulary, passages, now=now).subquery("fitting")
    counted = select(enrolment.c.step, func.count().label("people")).join(fitting, fitting.c.id == enrolment.c.id)
    for row in connection.execute(counted.group_by(enrolment.c.step)):
        text = f"will leave before their next action, by {because}"
        yield Told(row.step, row.people, Effect.LEAVES, text, {"because": because})


def _forbidden(
    connection: Connection,
    standing: Standing,
    pinned: SequenceVersion,
    there: ColumnElement[bool],
    policy: Policy,
    now: datetime,
) -> Iterator[Told]:
    """Those whom the gate lets write to under the old topic, and not under the new one."""

    def gate(topic: str) -> ColumnElement[str | None]:
        return skip_reason(
            customer.c.id, customer.c.address_key, topic=topic, campaign=standing.sequence, now=now, policy=policy
        )

    was, reason = gate(standing.definition.topic), gate(pinned.definition.topic).label("reason")
    asked = select(enrolment.c.step, reason).join(customer, customer.c.id == enrolment.c.customer_id)
    rows = asked.where(there, was.is_(None)).subquery("asked")
    counted = select(rows.c.step, rows.c.reason, func.count().label("people")).where(rows.c.reason.is_not(None))
    for row in connection.execute(counted.group_by(rows.c.step, rows.c.reason).order_by(rows.c.step, rows.c.reason)):
        text = f"may not be written to about {pinned.definition.topic} ({row.reason}): their mails will be skipped"
        yield Told(row.step, row.people, Effect.SKIPPED, text, {"reason": row.reason})
