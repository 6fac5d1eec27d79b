"""Recurring campaigns: each time of a schedule gives one run; what becomes of a missed one, its file says.

Times are reckoned from schedule and zone whenever they are asked for, so that they follow the zone database (S-8.1).
Only times that came are stored (`schedule_tick`), and why the last one has no run. One that had its run does not come
again on the same day because the zone's rules were changed since.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from campaigns import versions
from campaigns.definition import MISSED_ONCE, MISSED_SKIP
from campaigns.duty import Circumstances, Duty
from campaigns.runs import start_occurrence
from core import audit
from core.cron import last_due, next_time
from core.errors import EngineError, ServiceError
from core.schema import run as run_table
from core.schema import schedule, schedule_tick

_log = logging.getLogger("clarion.scheduler")
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
#: No change of rules moved clocks further: Apia went from one side of the date line to the other.
_LONGEST_SHIFT: Final = timedelta(days=2)
#: A time that is noticed later than this was missed: no scheduler ran.
MISSED_AFTER: Final = timedelta(minutes=5)


def run(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """The first recurring campaign whose time has come has its run, or is past it; 1, or 0 when none is due.

    Of several missed times only the last counts. One campaign's fault is said on its schedule, logged, and does not
    hold up the others. Repeat: safe; also from two processes at once.
    """
    for row in _active(connection):
        name, setbacks = row["campaign"], circumstances.setbacks
        if setbacks.pauses(name, now):
            continue
        try:
            with connection.begin_nested():
                is_done = _is_done(connection, circumstances, row, now)
        except ServiceError:
            raise  # the next one would fare no better
        except Exception as error:  # logged with its traceback, and tried again after a while
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            fault = error.message if isinstance(error, EngineError) else type(error).__name__
            pause_s = setbacks.note(name, fault, now).total_seconds()
            _note(connection, row, fault)
            _log.exception("recurring campaign %s could not be started; it is tried again in %.0f s", name, pause_s)
            continue
        setbacks.heal(name)
        _note(connection, row, None)
        if is_done:
            return 1
    return 0


def next_at(connection: Connection, _circumstances: Circumstances, now: datetime) -> datetime | None:
    """The first time of all schedules after `now`."""
    times = (next_time(row["cron"], row["zone"], max(row["since"], now)) for row in _active(connection))
    return min((time for time in times if time is not None), default=None)


def _active(connection: Connection) -> list[RowMapping]:
    """The schedules, each with `last`: the last of its times that was dealt with; None: none has come."""
    last = (
        select(func.max(schedule_tick.c.nominal_at))
        .where(schedule_tick.c.schedule == schedule.c.campaign)
        .scalar_subquery()
    )
    query = select(schedule, last.label("last"))
    return list(connection.execute(query.where(schedule.c.state == "active").order_by(schedule.c.campaign)).mappings())


def _note(connection: Connection, row: RowMapping, fault: str | None) -> None:
    """The schedule has this fault. Repeat: safe."""
    if row["fault"] != fault:
        connection.execute(update(schedule).where(schedule.c.campaign == row["campaign"]).values(fault=fault))


def _is_done(connection: Connection, circumstances: Circumstances, row: RowMapping, now: datetime) -> bool:
    """The last time of one schedule is dealt with; False: none has come, or another process has just done it."""
    reached = max(row["since"], row["last"] or row["since"])
    nominal = last_due(row["cron"], row["zone"], reached, now)
    if nominal is None or nominal <= _as_now_reckoned(connection, row):
        return False
    tick = insert(schedule_tick).values(schedule=row["campaign"], nominal_at=nominal, done_at=now)
    if connection.execute(tick.on_conflict_do_nothing().returning(schedule_tick.c.schedule)).first() is None:
        return False
    if _is_past(connection, row, nominal, now):
        return True
    batch_size = circumstances.settings.workers.batch_size
    start_occurrence(connection, row["version_id"], _occurrence(nominal), now, batch_size, circumstances.policy)
    return True


def _occurrence(nominal: datetime) -> str:
    return nominal.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _as_now_reckoned(connection: Connection, row: RowMapping) -> datetime:
    """The last time that was dealt with; where rules of the zone changed after its run, what it is by now (S-8.1)."""
    cron, zone = row["cron"], row["zone"]
    last: datetime | None = row["last"]
    if last is None:
        return _NEVER
    before, after = last_due(cron, zone, last - _LONGEST_SHIFT, last), next_time(cron, zone, last)
    if before == last or after is None or (before is not None and last - before < after - last):
        return last
    made = select(run_table.c.id).where(
        run_table.c.campaign == row["campaign"], run_table.c.occurrence == _occurrence(last),
        run_table.c.version_id == row["version_id"],
    )  # fmt: skip
    is_its_own = connection.execute(made).first() is not None  # else another schedule was applied since
    return after if is_its_own else last


def _is_past(connection: Connection, row: RowMapping, nominal: datetime, now: datetime) -> bool:
    """Whether the time was missed, and its campaign does not make up for it; that is noted in the audit log."""
    late = now - nominal
    if late <= MISSED_AFTER:
        return False
    times = versions.fetch(connection, row["version_id"]).definition.schedule
    rule = times.missed if times is not None else MISSED_ONCE
    if rule == MISSED_ONCE or (isinstance(rule, timedelta) and late <= rule):
        return False
    shown = MISSED_SKIP if rule == MISSED_SKIP else str(rule)
    audit.record(
        connection, audit.ITSELF, "campaign.missed", f"campaign:{row['campaign']}", at=now,
        nominal=nominal.isoformat(), missed=shown,
    )  # fmt: skip
    _log.warning("%s: its time %s was missed, and is not made up for", row["campaign"], nominal.isoformat())
    return True


_IS_ACTIVE: Final = "EXISTS (SELECT FROM schedule WHERE state = 'active')"
DUTIES: Final = (Duty("recurring campaigns", run, next_at, lambda *_: _IS_ACTIVE),)
