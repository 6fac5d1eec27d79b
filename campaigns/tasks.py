"""Tasks: what an employee has to do for a customer. Made once for each cause, ended once, by somebody.

Writes the table task. A task has an owner of `staff` in clarion.yaml, or nobody yet; one of somebody who has left
`staff` stays, and is shown as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from campaigns.inquiries.ending import end_of, hand_on, lock_of_task
from campaigns.inquiries.states import InquiryState
from core import audit
from core.errors import NotFound, PlanError, UsageError
from core.local_time import shown_in
from core.schema import customer, task


class TaskState(StrEnum):
    """Where a task is."""

    OPEN = "open"  #: somebody has to do it
    DONE = "done"  #: it was done, with an outcome
    DROPPED = "dropped"  #: it needs not be done any more


#: Which state may follow which.
TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    TaskState.OPEN: frozenset({TaskState.DONE, TaskState.DROPPED}),
    TaskState.DONE: frozenset(),
    TaskState.DROPPED: frozenset(),
}


#: Where an owner is asked for: tasks that have none.
NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class NewTask:
    """What is to be done. `key` is equal whenever the same thing asks for it again, such as `reply:<digest>`."""

    key: str
    kind: str  # key_account, reply, …
    title: str  # one line
    body: str = ""
    owner: str | None = None  # an entry of `staff`; None: nobody's yet
    customer_id: int | None = None
    campaign: str | None = None
    message_id: int | None = None
    due_at: datetime | None = None


def create(connection: Connection, wanted: NewTask, now: datetime) -> int | None:
    """The task is on the list; its id, or None when one with this key was there before, in whatever state.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    return next(iter(create_many(connection, [wanted], now)), None)


def create_many(connection: Connection, wanted: Sequence[NewTask], now: datetime) -> list[int]:
    """The tasks are on the list; the ids of those that are new. Repeat: safe, also concurrently."""
    if not wanted:
        return []
    rows = [_row(item, now) for item in sorted(wanted, key=lambda item: item.key)]  # in one order: no deadlock
    added = insert(task).values(rows).on_conflict_do_nothing(index_elements=["task_key"]).returning(task.c.id)
    return list(connection.execute(added).scalars())


def _row(wanted: NewTask, now: datetime) -> dict[str, Any]:
    return {
        "task_key": wanted.key, "kind": wanted.kind, "title": " ".join(wanted.title.split()), "body": wanted.body,
        "owner": wanted.owner, "customer_id": wanted.customer_id, "campaign": wanted.campaign,
        "message_id": wanted.message_id, "due_at": wanted.due_at, "created_at": now,
    }  # fmt: skip


def end(
    connection: Connection, task_id: int, *, by: str, outcome: str, now: datetime, state: TaskState = TaskState.DONE,
    zone: str = "UTC",
) -> None:  # fmt: skip
    """The task is in `state`, with what came of it, and so is the inquiry it is about.

    `zone`: by its clock refusals tell times. Atomic with the connection's transaction.

    Raises:
        NotFound: there is no such task.
        PlanError: it has ended before.
        UsageError: `outcome` is empty.
    """
    if not outcome.strip():
        raise UsageError("a task ends with an outcome", hint="say what came of it with --outcome")
    lock_of_task(connection, task_id)
    before = [known for known, followers in TRANSITIONS.items() if state in followers]
    ended = (
        update(task)
        .where(task.c.id == task_id, task.c.state.in_(before))
        .values(state=state, done_at=now, done_by=by, outcome=outcome.strip())
        .returning(task.c.kind)
    )
    kind = connection.execute(ended).scalar()
    if kind is None:
        _raise_not_open(connection, task_id, zone)
    answered = InquiryState.ANSWERED if state is TaskState.DONE else InquiryState.DROPPED
    end_of(connection, task_id=task_id, state=answered, by=by, outcome=outcome.strip(), now=now)
    audit.record(connection, by, f"task.{state}", f"task:{task_id}", at=now, kind=kind)


def give(connection: Connection, task_id: int, owner: str, *, by: str, now: datetime, zone: str = "UTC") -> None:
    """The open task is `owner`'s, an entry of `staff`, and so is the inquiry it is about. Repeat: safe.

    `zone`: by its clock refusals tell times.

    Raises:
        NotFound: there is no such task.
        PlanError: it has ended.
    """
    lock_of_task(connection, task_id)
    given = update(task).where(task.c.id == task_id, task.c.state == TaskState.OPEN).values(owner=owner)
    kind = connection.execute(given.returning(task.c.kind)).scalar()
    if kind is None:
        _raise_not_open(connection, task_id, zone)
    hand_on(connection, task_id, owner)
    audit.record(connection, by, "task.give", f"task:{task_id}", at=now, kind=kind, owner=owner)


def _raise_not_open(connection: Connection, task_id: int, zone: str) -> None:
    known = connection.execute(select(task.c.state, task.c.done_by, task.c.done_at).where(task.c.id == task_id))
    row = known.one_or_none()
    if row is None:
        raise NotFound(f"there is no task {task_id}", hint="`clarion task list` shows what there is")
    raise PlanError(f"task {task_id} is {row.state} already (by {row.done_by}, {shown_in(zone, row.done_at)})")


def listed(
    connection: Connection,
    *,
    owner: str | None = None,
    kind: str | None = None,
    customer_id: int | None = None,
    ended: bool = False,
    most: int = 1000,
) -> Sequence[Row[Any]]:
    """The open tasks, those due first, then the oldest; with `ended`, the others as well. At most `most`.

    Rows of `task` with the customer's external id as `customer`. `owner` may be `NOBODY`.
    """
    query = select(task, customer.c.external_id.label("customer")).outerjoin(
        customer, customer.c.id == task.c.customer_id
    )
    if owner is not None:
        query = query.where(task.c.owner.is_(None) if owner == NOBODY else task.c.owner == owner)
    for column, wanted in ((task.c.kind, kind), (task.c.customer_id, customer_id)):
        query = query if wanted is None else query.where(column == wanted)
    query = query if ended else query.where(task.c.state == TaskState.OPEN)
    return connection.execute(query.order_by(task.c.due_at.asc().nulls_last(), task.c.id).limit(most)).all()


def fetch(connection: Connection, task_id: int) -> Row[Any]:
    """The task, with the customer's external id as `customer`, their `email` and `phone`.

    Raises:
        NotFound: there is none.
    """
    shown = (customer.c.external_id.label("customer"), customer.c.email, customer.c.phone)
    query = select(task, *shown).outerjoin(customer, customer.c.id == task.c.customer_id)
    row = connection.execute(query.where(task.c.id == task_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no task {task_id}", hint="`clarion task list` shows what there is")
    return row
