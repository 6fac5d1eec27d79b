"""The daily mail to employees: what they have to do, what is overdue, whom they are to call. One a day, however often
processes end; what was missed for days is told once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from campaigns import notices
from campaigns.duty import HOLDS_NOT, Circumstances, not_ticked
from campaigns.tasks import TaskState
from core.cron import last_due, next_time
from core.inquiry_settings import Digest
from core.schema import customer, inquiry, schedule_tick, task
from core.settings import Settings
from core.staff_settings import responsible

#: In schedule_tick; no campaign has a name like it.
TICK: Final = "digest:tasks"
#: So many of each kind are listed; the others are counted.
_MOST: Final = 50
_ALL_READ: Final = 20_000
_DAY: Final = timedelta(days=1)
Lines = Mapping[str, Sequence[str]]


def run(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Everybody who has something to do has today's mail under way, once its time has come; how many mails. 0: it was
    not time, or it was done.

    A day that is over is not made up for. Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    settings = circumstances.settings
    digest = settings.tasks.digest
    if digest is None or not settings.staff:
        return 0
    zone = _zone(digest, settings)
    at = last_due(_cron(digest), zone, now - _DAY, now)
    if at is None or _day(at, zone) != _day(now, zone) or not _is_first(connection, at, now):
        return 0
    found = by_employee(connection, settings, now)
    sent = [_told(connection, circumstances, name, rows, at, now) for name, rows in sorted(found.items())]
    return max(sum(sent), 1)


def next_at(connection: Connection, circumstances: Circumstances, now: datetime) -> datetime | None:
    """The time of the next one."""
    digest = circumstances.settings.tasks.digest
    if digest is None or not circumstances.settings.staff:
        return None
    zone = _zone(digest, circumstances.settings)
    at = last_due(_cron(digest), zone, now - _DAY, now)
    done = select(schedule_tick.c.schedule).where(schedule_tick.c.schedule == TICK, schedule_tick.c.nominal_at == at)
    if at is not None and _day(at, zone) == _day(now, zone) and connection.execute(done).first() is None:
        return now
    return next_time(_cron(digest), zone, now)


def condition(circumstances: Circumstances, now: datetime) -> str:
    """Holds while today's time has come, and it was not done."""
    settings = circumstances.settings
    digest = settings.tasks.digest
    at = last_due(_cron(digest), _zone(digest, settings), now - _DAY, now) if digest is not None else None
    return HOLDS_NOT if at is None else not_ticked(TICK, at)


def _zone(digest: Digest, settings: Settings) -> str:
    return digest.zone or settings.organisation.zone


def _cron(digest: Digest) -> str:
    return f"{digest.at.minute} {digest.at.hour} * * {','.join(digest.days)}"


def _day(at: datetime, zone: str) -> Any:
    return at.astimezone(ZoneInfo(zone)).date()


def _is_first(connection: Connection, at: datetime, now: datetime) -> bool:
    tick = insert(schedule_tick).values(schedule=TICK, nominal_at=at, done_at=now).on_conflict_do_nothing()
    return connection.execute(tick.returning(schedule_tick.c.schedule)).first() is not None


_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    task.c.id, task.c.kind, task.c.owner, task.c.title, task.c.due_at, task.c.created_at,
    customer.c.external_id.label("customer"), customer.c.phone, customer.c.zone, inquiry.c.call_at,
    inquiry.c.id.label("inquiry_id"), inquiry.c.level,
)  # fmt: skip


def by_employee(connection: Connection, settings: Settings, now: datetime) -> dict[str, list[Row[Any]]]:
    """The open tasks of each employee who is there, those due first: their own, and those of whom they stand in for.

    What is nobody's, or somebody's who has left, is that of `tasks.nobodys`, else of the first who is there.
    """
    query = (
        select(*_COLUMNS).select_from(task)
        .outerjoin(inquiry, inquiry.c.task_id == task.c.id)
        .outerjoin(customer, customer.c.id == task.c.customer_id)
        .where(task.c.state == TaskState.OPEN, task.c.created_at <= now)
        .order_by(task.c.due_at.asc().nulls_last(), task.c.id).limit(_ALL_READ)
    )  # fmt: skip
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query).all():
        name = responsible(settings.staff, row.owner) or _stand_in(settings)
        if name is not None:
            found[name].append(row)
    return found


def _stand_in(settings: Settings) -> str | None:
    """Who sees to what is nobody's; somebody who is away rather than nobody."""
    candidates = [settings.tasks.nobodys, *settings.staff]
    there = (found for name in candidates if (found := responsible(settings.staff, name)) is not None)
    return next(there, None) or next((name for name in candidates if name is not None), None)


def _told(
    connection: Connection, circumstances: Circumstances, name: str, rows: Sequence[Row[Any]], at: datetime,
    now: datetime,
) -> bool:  # fmt: skip
    settings = circumstances.settings
    assert settings.tasks.digest is not None  # noqa: S101  it is its time
    zone = _zone(settings.tasks.digest, settings)
    parts = _parts(settings, name, rows, zone, now)
    employee = settings.staff[name]
    overdue, today = len(parts.get("Overdue", ())), len(parts.get("Due today", ()))
    counts = [f"{number} {word}" for number, word in ((overdue, "overdue"), (today, "due today")) if number]
    wanted = notices.NewNotice(
        key=f"digest:{name}:{at.timestamp():.0f}", recipient=employee.email, recipient_name=employee.name,
        subject=f"Your tasks: {', '.join([*counts, f'{len(rows)} open'])}",
        text=_text(employee.name, _day(at, zone), parts),
    )  # fmt: skip
    sender = next(iter(settings.senders.values()))
    return notices.order(connection, wanted, secret=circumstances.workspace.secret, sender=sender, now=now)


def _parts(settings: Settings, name: str, rows: Sequence[Row[Any]], zone: str, now: datetime) -> Lines:
    """The lines of the mail by heading; each task stands under one."""
    today = _day(now, zone)
    found: dict[str, list[str]] = {"Overdue": [], "Calls today": [], "Due today": [], "Later": []}
    for row in rows:
        if row.due_at is not None and row.due_at <= now:
            heading = "Overdue"
        elif row.due_at is not None and _day(row.due_at, zone) == today:
            heading = "Calls today" if row.call_at == row.due_at else "Due today"
        else:
            heading = "Later"
        found[heading].append(_line(settings, name, row, zone))
    return {heading: lines for heading, lines in found.items() if lines}


def _line(settings: Settings, name: str, row: Row[Any], zone: str) -> str:
    due = f"{row.due_at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}" if row.due_at is not None else "no date"
    extras = []
    if row.call_at is not None:
        theirs = f", {row.call_at.astimezone(ZoneInfo(row.zone)):%H:%M} in {row.zone}" if row.zone else ""
        extras.append(f"call {row.phone or 'them'}{theirs}")
    if row.inquiry_id is not None:
        extras.append(f"inquiry {row.inquiry_id}" + (f", escalated {row.level}x" if row.level else ""))
    owner = row.owner if row.owner in settings.staff else None
    if owner != name:
        extras.append(f"for {settings.staff[owner].name}" if owner else f"of {row.owner}, who is not there" if row.owner
                      else "nobody's")  # fmt: skip
    return f"{row.id:>6}  {due}  {row.title}" + (f"  ({'; '.join(extras)})" if extras else "")


def _text(name: str, day: Any, parts: Lines) -> str:
    return "\n".join(_written(name, day, parts)) + "\n"


def _written(name: str, day: Any, parts: Lines) -> Iterator[str]:
    yield f"{name}, these are your tasks on {day:%A, %Y-%m-%d}."
    for heading, lines in parts.items():
        yield ""
        yield f"{heading} ({len(lines)})"
        yield from lines[:_MOST]
        if len(lines) > _MOST:
            yield f"        … and {len(lines) - _MOST} more"
    yield ""
    yield 'Say what came of one:  clarion task done ID --outcome "…"'
    yield "Read all of one:       clarion task show ID"
