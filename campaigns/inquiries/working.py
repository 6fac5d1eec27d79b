"""What employees do with inquiries: answer, drop, give to somebody, agree on a call."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from campaigns import tasks
from campaigns.inquiries.ending import end_of
from campaigns.inquiries.states import InquiryState
from campaigns.tasks import NOBODY, TaskState
from core import audit
from core.errors import NotFound, PlanError, UsageError
from core.local_time import shown_in
from core.schema import customer, inquiry, task

_ENDS: Final = {InquiryState.ANSWERED: TaskState.DONE, InquiryState.DROPPED: TaskState.DROPPED}


def end(
    connection: Connection, inquiry_id: int, *, state: InquiryState, by: str, outcome: str, now: datetime,
    zone: str = "UTC",
) -> None:  # fmt: skip
    """The inquiry is answered or dropped, with its task. Atomic with the connection's transaction.

    `zone`: by its clock refusals tell times, here and below.

    Raises:
        NotFound: there is no such inquiry.
        PlanError: it has ended before.
        UsageError: `outcome` is empty.
    """
    row = _open(connection, inquiry_id, zone)
    if not outcome.strip():
        raise UsageError("an inquiry ends with an outcome", hint="say what came of it with --outcome")
    if row.task_state == TaskState.OPEN:
        tasks.end(
            connection, row.task_id, by=by, outcome=outcome, now=now, state=_ENDS[state]
        )  # and with it the inquiry
    else:
        end_of(connection, inquiry_id=inquiry_id, state=state, by=by, outcome=outcome.strip(), now=now)
        audit.record(connection, by, f"inquiry.{state}", f"inquiry:{inquiry_id}", at=now)


def give(connection: Connection, inquiry_id: int, owner: str, *, by: str, now: datetime, zone: str = "UTC") -> None:
    """The open inquiry is `owner`'s, an entry of `staff`, and so is its task. Repeat: safe.

    Raises:
        NotFound: there is no such inquiry.
        PlanError: it has ended.
    """
    row = _open(connection, inquiry_id, zone)
    connection.execute(update(inquiry).where(inquiry.c.id == inquiry_id).values(owner=owner))
    if row.task_state == TaskState.OPEN:
        tasks.give(connection, row.task_id, owner, by=by, now=now)
    else:
        audit.record(connection, by, "inquiry.give", f"inquiry:{inquiry_id}", at=now, owner=owner)


def call(
    connection: Connection, inquiry_id: int, at: datetime, *, by: str, now: datetime, zone: str = "UTC"
) -> None:  # fmt: skip
    """A call is agreed for `at`: the inquiry and its task are due then, and it escalates from then on. Repeat: safe.

    Raises:
        NotFound: there is no such inquiry.
        PlanError: it has ended.
        UsageError: the time is past.
    """
    row = _open(connection, inquiry_id, zone)
    if at <= now:
        raise UsageError(f"the call is in the past (got {shown_in(zone, at)})")
    agreed = update(inquiry).where(inquiry.c.id == inquiry_id).values(call_at=at, due_at=at, escalates_at=at)
    connection.execute(agreed)
    if row.task_state == TaskState.OPEN:
        connection.execute(update(task).where(task.c.id == row.task_id).values(due_at=at))
    audit.record(connection, by, "inquiry.call", f"inquiry:{inquiry_id}", at=now, call_at=at)


def _open(connection: Connection, inquiry_id: int, zone: str) -> Row[Any]:
    row = connection.execute(
        select(inquiry, task.c.state.label("task_state")).outerjoin(task, task.c.id == inquiry.c.task_id)
        .where(inquiry.c.id == inquiry_id).with_for_update(of=inquiry)
    ).one_or_none()  # fmt: skip
    if row is None:
        raise NotFound(f"there is no inquiry {inquiry_id}", hint="`clarion inquiry list` shows what there is")
    if row.state != InquiryState.OPEN:
        ended = f"by {row.answered_by}, {shown_in(zone, row.answered_at)}"
        raise PlanError(f"inquiry {inquiry_id} is {row.state} already ({ended})")
    return row


_SHOWN: Final = (
    inquiry, customer.c.external_id.label("customer"), customer.c.zone, customer.c.phone,
)  # fmt: skip


def listed(
    connection: Connection, *, owner: str | None = None, desk: str | None = None, ended: bool = False, most: int = 1000
) -> Sequence[Row[Any]]:
    """The open inquiries, those due first; with `ended`, the others as well. At most `most`.

    Rows of `inquiry` with the customer's external id as `customer`, their `zone` and `phone`. `owner` may be `NOBODY`.
    """
    query = select(*_SHOWN).outerjoin(customer, customer.c.id == inquiry.c.customer_id)
    if owner is not None:
        query = query.where(inquiry.c.owner.is_(None) if owner == NOBODY else inquiry.c.owner == owner)
    query = query if desk is None else query.where(inquiry.c.desk == desk)
    query = query if ended else query.where(inquiry.c.state == InquiryState.OPEN)
    return connection.execute(query.order_by(inquiry.c.due_at, inquiry.c.id).limit(most)).all()


def fetch(connection: Connection, inquiry_id: int) -> Row[Any]:
    """The inquiry, as `listed` has it.

    Raises:
        NotFound: there is none.
    """
    query = select(*_SHOWN).outerjoin(customer, customer.c.id == inquiry.c.customer_id)
    row = connection.execute(query.where(inquiry.c.id == inquiry_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no inquiry {inquiry_id}", hint="`clarion inquiry list` shows what there is")
    return row
