"""The weekly mail to the staff: what goes out in the days to come. Weeks that were missed are told once."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from campaigns import notices
from campaigns.calendar import screen
from campaigns.calendar.entries import Calendar
from campaigns.calendar.feed import link
from campaigns.calendar.gathering import gather
from campaigns.duty import HOLDS_NOT, Circumstances, not_ticked
from core.calendar_settings import WeeklyDigest
from core.cron import last_due, next_time
from core.schema import schedule_tick

#: In schedule_tick; no campaign has a name like it.
TICK: Final = "digest:calendar"
_WEEK: Final = timedelta(days=7)


def run(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Everybody it is for has this week's mail under way, once its time has come; for how many people that is.

    The time before it is looked at first is never made up for: it is done without a mail, and counts as one that was
    told. Repeat: safe, also concurrently.
    """
    digest = circumstances.settings.calendar.digest
    at = _due(connection, circumstances, now) if digest is not None else None
    if digest is None or at is None:
        return 0
    is_first_look = _last(connection) is None
    tick = insert(schedule_tick).values(schedule=TICK, nominal_at=at, done_at=now).on_conflict_do_nothing()
    if connection.execute(tick.returning(schedule_tick.c.schedule)).first() is None:
        return 0
    if not is_first_look or now - at <= timedelta(minutes=1):
        _tell(connection, circumstances, digest, at, now)
    return len(digest.to)


def next_at(connection: Connection, circumstances: Circumstances, now: datetime) -> datetime | None:
    """The time of the next one."""
    digest = circumstances.settings.calendar.digest
    if digest is None:
        return None
    is_due = _due(connection, circumstances, now) is not None
    return now if is_due else next_time(_cron(digest), _zone(circumstances, digest), now)


def condition(circumstances: Circumstances, now: datetime) -> str:
    """Holds while a time of the last week has come, and it was not done."""
    digest = circumstances.settings.calendar.digest
    at = last_due(_cron(digest), _zone(circumstances, digest), now - _WEEK, now) if digest is not None else None
    return HOLDS_NOT if at is None else not_ticked(TICK, at)


def _due(connection: Connection, circumstances: Circumstances, now: datetime) -> datetime | None:
    digest = circumstances.settings.calendar.digest
    if digest is None:
        return None
    last = _last(connection)
    since = max(last, now - _WEEK) if last is not None else now - _WEEK
    return last_due(_cron(digest), _zone(circumstances, digest), since, now)


def _last(connection: Connection) -> datetime | None:
    return connection.execute(
        select(func.max(schedule_tick.c.nominal_at)).where(schedule_tick.c.schedule == TICK)
    ).scalar()


def _cron(digest: WeeklyDigest) -> str:
    return f"{digest.at.minute} {digest.at.hour} * * {digest.on}"


def _zone(circumstances: Circumstances, digest: WeeklyDigest) -> str:
    return digest.zone or circumstances.settings.organisation.zone


def _tell(
    connection: Connection, circumstances: Circumstances, digest: WeeklyDigest, at: datetime, now: datetime
) -> None:
    settings, workspace = circumstances.settings, circumstances.workspace
    calendar = gather(connection, workspace, now, digest.days)
    text = "\n".join([*screen.lines(calendar), "", *_foot(circumstances, at)]) + "\n"
    sender = next(iter(settings.senders.values()))
    for name in digest.to:
        employee = settings.staff[name]
        wanted = notices.NewNotice(
            key=f"{TICK}:{name}:{at.timestamp():.0f}", recipient=employee.email, recipient_name=employee.name,
            subject=f"What goes out: {_subject(calendar)}", text=text,
        )  # fmt: skip
        notices.order(connection, wanted, secret=workspace.secret, sender=sender, now=now)


def _subject(calendar: Calendar) -> str:
    mails = sum(day.all_mails for day in calendar.days)
    is_estimated = any(day.is_estimated for day in calendar.days)
    first, last = calendar.days[0].date, calendar.days[-1].date
    return f"{'about ' if is_estimated and mails else ''}{mails:,} mails, {first:%-d %b} to {last:%-d %b %Y}"


def _foot(circumstances: Circumstances, at: datetime) -> list[str]:
    """The same text whenever it is written: the link ends by the week's time, not by when it is told."""
    ends_at = at + circumstances.settings.calendar.links_last
    return [
        "In a browser:           clarion calendar --html calendar.html",
        f"In a calendar program:  {link(circumstances.workspace, ends_at)}",
    ]
