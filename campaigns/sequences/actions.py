"""What steps do beside sending: tasks of employees, attributes of customers, calls of other systems."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, DateTime, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.sequences.definition import SequenceFile
from campaigns.sequences.passages import Passage
from campaigns.sequences.sending import Post
from campaigns.sequences.steps import OWNER, Step
from campaigns.tasks import NewTask
from core.arrays import Ids, among
from core.local_time import later, zone_or
from core.schema import customer
from core.staff_settings import responsible

Action = Callable[[Post, Circumstances, str, Step, Sequence[Passage]], None]

#: The kind of tasks that steps make.
KIND: Final = "sequence"
_TASKS_AT_ONCE: Final = 500


def reached(event: str) -> str:
    """The rule that the goal was reached since the passage began."""
    return f'did({json.dumps(event)}, since="enrolment")'


def leaving_rules(definition: SequenceFile) -> list[tuple[str, str]]:
    """What lets people out before their next action, in the order in which it is asked: why, and the rule."""
    goal, exit_when = definition.goal, definition.exit_when
    rules = [("goal", reached(goal.event))] if goal is not None and goal.ends else []
    return [*rules, ("exit_when", exit_when)] if exit_when is not None else rules


def give_tasks(post: Post, around: Circumstances, name: str, step: Step, people: Sequence[Passage]) -> None:
    """Each of the people is somebody's task, due in working time of the organisation's zone."""
    wanted, zone = step.task, zone_or(None, post.standing.version.zone)
    assert wanted is not None  # noqa: S101  as the engine's table says
    owners = _owners(post.connection, people) if wanted.owner == OWNER else {}
    new = [
        NewTask(
            key=f"sequence:{passage.id}:{name}",
            kind=KIND,
            title=wanted.title,
            body=wanted.body,
            owner=responsible(around.settings.staff, owners.get(passage.customer_id, wanted.owner)),
            customer_id=passage.customer_id,
            campaign=post.standing.sequence,
            due_at=later(post.now, wanted.due, zone) if wanted.due is not None else None,
        )
        for passage in people
    ]
    for start in range(0, len(new), _TASKS_AT_ONCE):
        tasks.create_many(post.connection, new[start : start + _TASKS_AT_ONCE], post.now)


def _owners(connection: Connection, people: Sequence[Passage]) -> dict[int, str | None]:
    ids = [passage.customer_id for passage in people]
    rows = connection.execute(select(customer.c.id, customer.c.owner).where(among(customer.c.id, ids)))
    return {row.id: row.owner for row in rows}


# Who is in an import's hands is not waited for: it may take minutes, and everything else would wait with this pass.
_SET: Final = text("""
    WITH mine AS (
        SELECT id FROM customer WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE customer
    SET attributes = (attributes || CAST(:values AS jsonb)) - CAST(:removed AS text[]), updated_at = :now
    FROM mine WHERE customer.id = mine.id RETURNING customer.id
""").bindparams(
    bindparam("ids", type_=Ids),
    bindparam("values", type_=JSONB),
    bindparam("removed", type_=ARRAY(Text)),
    bindparam("now", type_=DateTime(timezone=True)),
)


def set_attributes(post: Post, step: Step, people: Sequence[Passage]) -> frozenset[int]:
    """The customers have the attributes that the step gives; those it sets to null are gone. Whose: their ids, less
    those of customers whom somebody else is changing."""
    values = {key: value for key, value in (step.update or {}).items() if value is not None}
    removed = [key for key, value in (step.update or {}).items() if value is None]
    ids = sorted({passage.customer_id for passage in people})
    given = {"ids": ids, "values": values, "removed": removed, "now": post.now}
    return frozenset(post.connection.execute(_SET, given).scalars())


_CALL: Final = text("""
    INSERT INTO webhook_call (call_key, endpoint, content, customer_id, not_before, created_at)
    SELECT 'sequence:' || e.id || ':' || :step, :endpoint,
           jsonb_build_object('sequence', e.sequence, 'step', CAST(:step AS text), 'customer', c.external_id,
                              'email', c.email, 'key', e.entry_key, 'entered_at', e.entered_at, 'given', e.given)
           || CAST(:extra AS jsonb),
           e.customer_id, :now, :now
    FROM enrolment AS e JOIN customer AS c ON c.id = e.customer_id WHERE e.id = ANY(:ids) ORDER BY e.id
    ON CONFLICT (call_key) DO NOTHING
""").bindparams(
    bindparam("ids", type_=Ids),
    bindparam("step", type_=Text),
    bindparam("endpoint", type_=Text),
    bindparam("extra", type_=JSONB),
    bindparam("now", type_=DateTime(timezone=True)),
)


def order_calls(post: Post, _around: Circumstances, name: str, step: Step, people: Sequence[Passage]) -> None:
    """The other system is called for each of the people, soon, by a worker."""
    wanted = step.webhook
    assert wanted is not None  # noqa: S101  as the engine's table says
    extra = {"with": wanted.extra} if wanted.extra else {}
    ids = [passage.id for passage in people]
    given = {"ids": ids, "step": name, "endpoint": wanted.endpoint, "extra": extra, "now": post.now}
    post.connection.execute(_CALL, given)
