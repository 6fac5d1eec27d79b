"""Somebody gives an inquiry or a task to an employee, who is told of it."""

from datetime import datetime

from sqlalchemy import Connection, select

from campaigns import notices, tasks
from campaigns.duty import Circumstances
from campaigns.inquiries import letters, working
from core.schema import inquiry


def give(
    connection: Connection, circumstances: Circumstances, inquiry_id: int, owner: str, *, by: str, now: datetime
) -> None:
    """The open inquiry is `owner`'s, an entry of `staff`, with its task; they have a notice under way unless it was
    theirs before. Repeat: safe. Atomic with the connection's transaction.

    Raises:
        NotFound: there is no such inquiry.
        PlanError: it has ended.
    """
    before = working.fetch(connection, inquiry_id).owner
    working.give(connection, inquiry_id, owner, by=by, now=now, zone=circumstances.settings.organisation.zone)
    if before != owner:
        _tell(connection, circumstances, inquiry_id, owner, by, now)


def give_task(
    connection: Connection, circumstances: Circumstances, task_id: int, owner: str, *, by: str, now: datetime
) -> None:
    """The open task is `owner`'s, with the inquiry it is about; they have a notice under way unless it was theirs
    before. Repeat: safe. Atomic with the connection's transaction.

    Raises:
        NotFound: there is no such task.
        PlanError: it has ended.
    """
    row = tasks.fetch(connection, task_id)
    tasks.give(connection, task_id, owner, by=by, now=now, zone=circumstances.settings.organisation.zone)
    if row.owner == owner:
        return
    about = connection.execute(select(inquiry.c.id).where(inquiry.c.task_id == task_id)).scalar_one_or_none()
    if about is not None:
        _tell(connection, circumstances, about, owner, by, now)
        return
    settings = circumstances.settings
    employee = settings.staff[owner]
    wanted = notices.NewNotice(
        key=f"task:{task_id}:given:{owner}:{now.timestamp():.0f}", recipient=employee.email,
        recipient_name=employee.name, subject=f"Given to you: {row.title}", customer_id=row.customer_id,
        text=f"{by} gave you task {task_id}: {row.title}\n\n{row.body.strip()}\n\nWhen it is done:\n"
        f'  clarion task done {task_id} --outcome "what came of it"\n',
    )  # fmt: skip
    sender = next(iter(settings.senders.values()))
    notices.order(connection, wanted, secret=circumstances.workspace.secret, sender=sender, now=now)


def _tell(
    connection: Connection, circumstances: Circumstances, inquiry_id: int, owner: str, by: str, now: datetime
) -> None:
    row = connection.execute(select(inquiry).where(inquiry.c.id == inquiry_id)).one()
    letter = letters.write(connection, circumstances, row)
    letters.tell(
        connection, circumstances, row, owner, key=f"given:{owner}:{now.timestamp():.0f}", now=now, reply_to=row.email,
        subject=f"Given to you: inquiry of {letter.person}: {row.subject}",
        text=f"{by} gave it to you.\n\n{letter.body}",
    )  # fmt: skip
