"""An inquiry that nobody answers is given on: its owner is reminded, then the next of the chain has it, to its end,
and whoever has it then is reminded until it is answered.

Given on is also one whose owner has left, or is away: to the deputy.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.inquiries import letters, office_hours
from campaigns.inquiries.letters import shown_time
from campaigns.inquiries.office_hours import OfficeHours
from campaigns.inquiries.owners import Asking, owner_of
from campaigns.inquiries.states import InquiryState
from campaigns.tasks import TaskState
from core import audit
from core.inquiry_settings import Escalation
from core.schema import inquiry, task
from core.staff_settings import responsible

_MOST: Final = 100
#: At the end of its chain an inquiry is reminded of each day of work; one that is older than this, as rarely.
_OLD: Final = timedelta(days=7)
_DAY_OF_WORK: Final = timedelta(hours=8)
_OPEN: Final = inquiry.c.state == InquiryState.OPEN


def escalate(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Open inquiries whose time is up are reminded of or given to the next of the chain, at most a hundred; how many.

    Each level counts from when the one before was told, so that somebody has their time even when nothing ran for
    days. Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    due = (
        select(inquiry).where(_OPEN, inquiry.c.escalates_at <= now).order_by(inquiry.c.escalates_at, inquiry.c.id)
        .limit(_MOST).with_for_update(skip_locked=True)
    )  # fmt: skip
    rows = connection.execute(due).all()
    for row in rows:
        _escalate(connection, circumstances, row, now)
    return len(rows)


def escalates_at(connection: Connection, _circumstances: Circumstances, _now: datetime) -> datetime | None:
    """When the time of the next one is up."""
    first: datetime | None = connection.execute(select(func.min(inquiry.c.escalates_at)).where(_OPEN)).scalar_one()
    return first


def _escalate(connection: Connection, circumstances: Circumstances, row: Row[Any], now: datetime) -> None:
    chain, hours = _chain(circumstances, row)
    is_deadline = row.escalates_at == row.due_at and (row.level >= len(chain) or chain[row.level].after is not None)
    level, owner = (row.level, row.owner) if is_deadline else _next(circumstances, chain, row)
    is_moved = is_deadline or level > row.level
    if is_moved and level < len(chain):
        next_at = office_hours.later(hours, now, chain[level].after)
    else:  # the level that nobody can take waits for them; at the chain's end the owner is reminded
        is_old = level >= len(chain) and now - row.due_at >= _OLD
        next_at = office_hours.opening_after(hours, now, _OLD.days if is_old else 1)
    values = {"level": level, "owner": owner, "escalates_at": next_at}
    connection.execute(update(inquiry).where(inquiry.c.id == row.id).values(**values))
    if owner is not None and owner != row.owner:
        _hand_over(connection, row, owner, now)
    key = "due" if is_deadline else f"level:{level}" if is_moved else f"again:{now.timestamp():.0f}"
    _tell(connection, circumstances, row, owner, key, now)


def _chain(circumstances: Circumstances, row: Row[Any]) -> tuple[Sequence[Escalation], OfficeHours | None]:
    """Who has it in turn, and when time counts. Of a desk that is gone `tasks.nobodys` has it, a day of work later."""
    settings = circumstances.settings
    desk = settings.inquiries.get(row.desk)
    if desk is not None:
        return desk.escalation, OfficeHours.of(desk, settings)
    last = settings.tasks.nobodys or next(iter(settings.staff), None)
    if last is None or responsible(settings.staff, last) == row.owner:
        return (), OfficeHours.usual(settings)
    return (Escalation(after=_DAY_OF_WORK, to=last),) * (row.level + 1), OfficeHours.usual(settings)


def _next(circumstances: Circumstances, chain: Sequence[Escalation], row: Row[Any]) -> tuple[int, str | None]:
    """The level that is reached, and who has the inquiry then. Those who are not there, nor a deputy, are passed over;
    when nobody else of the chain is there, the first of them keeps their place."""
    waiting: list[int] = []
    for level in range(row.level, len(chain)):
        found = responsible(circumstances.settings.staff, chain[level].to)
        if found is not None and found != row.owner:
            return level + 1, found
        if found is None:
            waiting.append(level)
    return max(row.level, min(waiting, default=len(chain))), row.owner


def _hand_over(connection: Connection, row: Row[Any], owner: str, now: datetime) -> None:
    """The task is the new owner's. One that was ended by hand while the inquiry is open stays as it is."""
    is_open = select(task.c.id).where(task.c.id == row.task_id, task.c.state == TaskState.OPEN)
    if connection.execute(is_open.with_for_update()).first() is not None:
        tasks.give(connection, row.task_id, owner, by=audit.ITSELF, now=now)


def _tell(
    connection: Connection, circumstances: Circumstances, row: Row[Any], owner: str | None, key: str, now: datetime
) -> None:
    """The owner is told, and so is who had it until now."""
    staff = circumstances.settings.staff
    owner = owner if owner in staff else responsible(staff, owner)
    if owner is None:
        return
    due = shown_time(circumstances, row.due_at)
    former = row.owner if row.owner != owner else None
    remark = f"It was to be answered by {due}, and was not."
    if former is not None:
        remark += f" It was {staff[former].name if former in staff else former}'s; now it is yours."
    letter = letters.write(connection, circumstances, row, remark)
    subject = f"{'Passed on to you' if former else 'Overdue'}: inquiry of {letter.person}: {row.subject}"
    text = f"{remark}\n\n{letter.body}"
    at = f"{key}:{row.due_at.timestamp():.0f}"
    letters.tell(
        connection, circumstances, row, owner, key=at, subject=subject, text=text, now=now, reply_to=row.email
    )  # fmt: skip
    if former is not None and former in staff:
        told = f"Nobody answered the inquiry {row.id} of {letter.person} by {due}. It is {staff[owner].name}'s now.\n"
        subject = f"Passed on to {staff[owner].name}: inquiry of {letter.person}: {row.subject}"
        letters.tell(connection, circumstances, row, former, key=f"{at}:former", subject=subject, text=told, now=now)


def hand_over(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Open inquiries whose owner is away, has left, or never was, have one who is there; how many were given on.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    staff = circumstances.settings.staff
    present = [name for name in staff if responsible(staff, name) == name]
    if not present:
        return 0
    orphaned = (
        select(inquiry).where(_OPEN, inquiry.c.owner.is_(None) | inquiry.c.owner.not_in(present))
        .order_by(inquiry.c.id).limit(_MOST).with_for_update(skip_locked=True)
    )  # fmt: skip
    rows = connection.execute(orphaned).all()
    for row in rows:
        owner = _heir(circumstances, row, present)
        connection.execute(update(inquiry).where(inquiry.c.id == row.id).values(owner=owner))
        _hand_over(connection, row, owner, now)
        letter = letters.write(connection, circumstances, row)
        before = f"It was {row.owner}'s, who is not there." if row.owner else "It was nobody's."
        letters.tell(
            connection, circumstances, row, owner, key=f"heir:{now.timestamp():.0f}", now=now, reply_to=row.email,
            subject=f"Passed on to you: inquiry of {letter.person}: {row.subject}",
            text=f"{before} Now it is yours.\n\n{letter.body}",
        )  # fmt: skip
    return len(rows)


def _heir(circumstances: Circumstances, row: Row[Any], present: Sequence[str]) -> str:
    """Somebody of `present`: the owner's deputy, else as a new inquiry would find them."""
    settings = circumstances.settings
    desk = settings.inquiries.get(row.desk)
    found = responsible(settings.staff, row.owner)
    if found is None and desk is not None:
        found = owner_of(desk, settings.staff, Asking(language=row.language, fields=row.fields))
    found = found or responsible(settings.staff, settings.tasks.nobodys)
    return found if found is not None and found in present else present[0]


def orphaned_at(connection: Connection, circumstances: Circumstances, now: datetime) -> datetime | None:
    """Now, when an open inquiry has no owner who is there and somebody is; else not by itself: `staff` is a file."""
    staff = circumstances.settings.staff
    present = [name for name in staff if responsible(staff, name) == name]
    orphaned = select(inquiry.c.id).where(_OPEN, inquiry.c.owner.is_(None) | inquiry.c.owner.not_in(present)).limit(1)
    return now if present and connection.execute(orphaned).first() is not None else None
