"""The figures of a rehearsal, read off its ledger while its world still stands."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from campaigns.simulation.courier import NAME
from campaigns.simulation.figures import Day, Due, Moment, Pressed, StepFigures, TransportDay, TransportFigures
from campaigns.status import TAKEN
from core.local_time import zone_or
from core.settings import Settings

#: Domains, and people under pressure, that are told of.
_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, and whose clock tells days."""

    start: datetime
    until: datetime
    zone: str


_BEGIN: Final = """
    CREATE TEMP TABLE rehearsal_open AS
    SELECT id FROM message WHERE state IN ('planned', 'deferred');
    CREATE TEMP TABLE rehearsal_last AS
    SELECT coalesce((SELECT max(id) FROM message), 0) AS message_id, coalesce((SELECT max(id) FROM task), 0) AS task_id
"""
_SCOPE: Final = (
    """
    CREATE TEMP TABLE rehearsal_message AS
    SELECT m.id, m.run_id, m.campaign, m.step, m.customer_id, m.address_key, m.state::text AS state, m.skip_reason
    FROM message AS m, rehearsal_last AS l WHERE m.id > l.message_id OR m.id IN (SELECT id FROM rehearsal_open)
    """,
    """
    CREATE TEMP TABLE rehearsal_sent AS
    SELECT m.campaign, m.step, a.transport, a.outcome::text AS outcome, a.answered_at AS at,
           (a.answered_at AT TIME ZONE :zone)::date AS day, split_part(c.email, '@', 2) AS domain
    FROM attempt AS a JOIN rehearsal_message AS m ON m.id = a.message_id LEFT JOIN customer AS c ON c.id = m.customer_id
    WHERE a.worker = :worker AND a.outcome IN ('accepted', 'failed')
    """,
)


def begin(connection: Connection) -> None:
    """What is ordered or goes from now on counts."""
    connection.exec_driver_sql(_BEGIN)


def look(connection: Connection, period: Period) -> None:
    """The tables are there that the functions below read."""
    for statement in _SCOPE:
        given = {"zone": period.zone, "worker": NAME} if ":zone" in statement else {}
        connection.execute(text(statement), given)
    connection.execute(text("ANALYZE rehearsal_message"))
    connection.execute(text("ANALYZE rehearsal_sent"))


def _rows(connection: Connection, query: str, **given: Any) -> Sequence[Row[Any]]:
    return connection.execute(text(query), given).all()


# --- what went ------------------------------------------------------------------------------------------------------

_DAYS: Final = """
    SELECT day, campaign, transport, count(*) FILTER (WHERE outcome = 'accepted') AS accepted,
           count(*) FILTER (WHERE outcome = 'failed') AS bounced
    FROM rehearsal_sent GROUP BY day, campaign, transport
"""


def days(connection: Connection) -> tuple[Day, ...]:
    """The days on which anything went, in order."""
    transports: dict[date, Counter[str]] = defaultdict(Counter)
    campaigns: dict[date, Counter[str]] = defaultdict(Counter)
    bounced: Counter[date] = Counter()
    for row in _rows(connection, _DAYS):
        transports[row.day][row.transport] += row.accepted
        campaigns[row.day][row.campaign] += row.accepted
        bounced[row.day] += row.bounced
    return tuple(
        Day(day, transports[day].total(), bounced[day], dict(transports[day]), dict(campaigns[day].most_common()))
        for day in sorted(transports)
    )


_STEPS: Final = """
    SELECT m.campaign, m.step, v.kind, m.state, m.skip_reason, count(*) AS heads, max(r.fault) AS fault
    FROM rehearsal_message AS m JOIN run AS r ON r.id = m.run_id JOIN campaign_version AS v ON v.id = r.version_id
    GROUP BY 1, 2, 3, 4, 5
"""
_TIMES: Final = """
    SELECT campaign, step, min(at) AS first_at, max(at) AS last_at FROM rehearsal_sent GROUP BY 1, 2
"""
_HELD: Final = """
    SELECT m.campaign, m.step, h.reason, count(*) AS heads
    FROM rehearsal_hold AS h JOIN rehearsal_message AS m ON m.id = h.message_id GROUP BY 1, 2, 3
"""


def steps(connection: Connection) -> tuple[StepFigures, ...]:
    """Every step that had a message, by campaign and time."""
    states: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    skipped: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    held: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    kinds: dict[tuple[str, str], tuple[str, str | None]] = {}
    for row in _rows(connection, _STEPS):
        key = (row.campaign, row.step)
        kinds[key] = (row.kind, row.fault or kinds.get(key, ("", None))[1])
        states[key][row.state] += row.heads
        if row.skip_reason is not None:
            skipped[key][row.skip_reason] += row.heads
    for row in _rows(connection, _HELD):
        held[row.campaign, row.step][row.reason] += row.heads
    times = {(row.campaign, row.step): (row.first_at, row.last_at) for row in _rows(connection, _TIMES)}
    found = (
        _step(key, states[key], skipped[key], held[key], times.get(key, (None, None)), *kinds[key]) for key in kinds
    )
    return tuple(sorted(found, key=lambda one: (one.campaign, one.first_at is None, one.first_at or one.step)))


def _step(
    key: tuple[str, str], states: Counter[str], skipped: Counter[str], held: Counter[str],
    times: tuple[datetime | None, datetime | None], kind: str, fault: str | None,
) -> StepFigures:  # fmt: skip
    accepted = sum(states[state] for state in TAKEN)
    waiting = states["planned"] + states["deferred"] + states["handed_over"]
    bounced, total = states["failed"], states.total()
    return StepFigures(
        campaign=key[0], step=key[1], kind=kind, messages=total, accepted=accepted, bounced=bounced, waiting=waiting,
        other=total - accepted - waiting - bounced - states["skipped"], skipped=dict(skipped.most_common()),
        held=dict(held.most_common()), first_at=times[0], last_at=times[1], fault=fault,
    )  # fmt: skip


# --- by which way ---------------------------------------------------------------------------------------------------

_HOURS: Final = """
    SELECT transport, day, date_trunc('hour', at) AS hour, count(*) AS heads FROM rehearsal_sent GROUP BY 1, 2, 3
"""
_DOMAINS: Final = """
    SELECT domain, count(*) AS heads FROM rehearsal_sent WHERE outcome = 'accepted'
    GROUP BY domain ORDER BY heads DESC, domain LIMIT :most
"""


def transports(
    connection: Connection, settings: Settings
) -> tuple[tuple[TransportFigures, ...], tuple[TransportDay, ...]]:
    """Each transport that carried anything, and the days on which one had more to carry than it may."""
    by_day: dict[str, Counter[date]] = defaultdict(Counter)
    by_hour: dict[str, Counter[datetime]] = defaultdict(Counter)
    for row in _rows(connection, _HOURS):
        by_day[row.transport][row.day] += row.heads
        by_hour[row.transport][row.hour] += row.heads
    found = tuple(_transport(name, by_day[name], by_hour[name], settings) for name in sorted(by_day))
    return found, tuple(over for name in sorted(by_day) for over in _exceeded(name, by_day[name], settings))


def _transport(name: str, by_day: Counter[date], by_hour: Counter[datetime], settings: Settings) -> TransportFigures:
    (day, in_day), (hour, in_hour) = by_day.most_common(1)[0], by_hour.most_common(1)[0]
    rate = settings.transports[name].rate if name in settings.transports else None
    return TransportFigures(name, by_day.total(), day, in_day, hour, in_hour, in_hour / rate if rate else None)


def _exceeded(name: str, by_day: Counter[date], settings: Settings) -> list[TransportDay]:
    transport = settings.transports.get(name)
    if transport is None:
        return []
    found = []
    for day, wanted in sorted(by_day.items()):
        limits = [int(transport.rate * 86_400)] if transport.rate else []
        warm = transport.warm_up.allowed(day) if transport.warm_up else None
        limits += [] if warm is None else [warm]
        if limits and wanted > min(limits):
            found.append(TransportDay(name, day, wanted, min(limits)))
    return found


def domains(connection: Connection) -> Mapping[str, int]:
    """The recipient domains that get most, with how many."""
    return {row.domain or "?": row.heads for row in _rows(connection, _DOMAINS, most=_TOLD)}


# --- how much anybody gets ------------------------------------------------------------------------------------------

# What people got in the week before counts as well.
_PRESSURE: Final = """
    CREATE TEMP TABLE rehearsal_pressure AS
    SELECT DISTINCT ON (address_key) address_key, customer_id, most, at, total FROM (
        SELECT address_key, customer_id, accepted_at AS at,
               count(*) OVER (PARTITION BY address_key ORDER BY accepted_at
                              RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW) AS most,
               count(*) FILTER (WHERE accepted_at >= :start) OVER (PARTITION BY address_key) AS total
        FROM message WHERE accepted_at >= :start - interval '7 days' AND address_key IS NOT NULL
    ) AS every WHERE at >= :start ORDER BY address_key, most DESC, at
"""
_HISTOGRAM: Final = "SELECT most, count(*) AS people FROM rehearsal_pressure GROUP BY most ORDER BY most"
_TOP: Final = """
    SELECT c.external_id, p.most, p.total, p.at FROM rehearsal_pressure AS p JOIN customer AS c ON c.id = p.customer_id
    ORDER BY p.most DESC, p.total DESC, c.external_id LIMIT :most
"""


def pressure(connection: Connection, period: Period) -> tuple[Mapping[int, int], tuple[Pressed, ...]]:
    """People by the most mails they get in any seven days, and those who get most."""
    connection.execute(text(_PRESSURE), {"start": period.start})
    histogram = {row.most: row.people for row in _rows(connection, _HISTOGRAM)}
    return histogram, tuple(Pressed(*tuple(row)) for row in _rows(connection, _TOP, most=_TOLD))


# --- what falls to people -------------------------------------------------------------------------------------------

_DUE: Final = """
    SELECT 'task' AS what, kind, count(*) AS heads, min(due_at) AS first_at, max(due_at) AS last_at
    FROM task, rehearsal_last AS l WHERE task.id > l.task_id GROUP BY kind
    UNION ALL
    SELECT 'inquiry', desk, count(*), min(due_at), max(due_at) FROM inquiry
    WHERE state = 'open' AND due_at BETWEEN :start AND :until GROUP BY desk
    UNION ALL
    SELECT 'registration', r.event || ': ' || r.state, count(*), min(e.starts_at), max(e.starts_at)
    FROM registration AS r JOIN event AS e ON e.name = r.event
    WHERE r.state <> 'cancelled' AND e.starts_at BETWEEN :start AND :until GROUP BY r.event, r.state
    UNION ALL
    SELECT 'notice', split_part(notice_key, ':', 1), count(*), min(sent_at), max(sent_at) FROM staff_notice
    WHERE sent_at BETWEEN :start AND :until GROUP BY 2
    UNION ALL
    SELECT 'webhook_call', endpoint, count(*), min(answered_at), max(answered_at) FROM webhook_call
    WHERE answered_at BETWEEN :start AND :until GROUP BY endpoint
    UNION ALL
    SELECT 'enrolment', sequence || ': ' || state, count(*), min(entered_at), max(entered_at) FROM enrolment
    WHERE entered_at BETWEEN :start AND :until GROUP BY sequence, state
    ORDER BY 1, 2
"""


def due(connection: Connection, period: Period) -> tuple[Due, ...]:
    """What would fall to people, come in, or be told to others."""
    return tuple(Due(*tuple(row)) for row in _rows(connection, _DUE, start=period.start, until=period.until))


# --- one customer -----------------------------------------------------------------------------------------------------

_MESSAGES: Final = """
    SELECT m.id, coalesce(a.answered_at, m.not_before) AS at, c.zone, m.campaign, m.step, m.state::text AS state,
           m.skip_reason, m.hold_reason
    FROM message AS m JOIN rehearsal_message AS mine ON mine.id = m.id JOIN customer AS c ON c.id = m.customer_id
    LEFT JOIN attempt AS a ON a.message_id = m.id AND a.worker = :worker AND a.outcome IN ('accepted', 'failed')
    WHERE c.external_id = :key ORDER BY 2, 1
"""
_TASKS: Final = """
    SELECT coalesce(t.due_at, t.created_at) AS at, c.zone, coalesce(t.campaign, '') AS campaign, t.title
    FROM task AS t JOIN customer AS c ON c.id = t.customer_id, rehearsal_last AS l
    WHERE t.id > l.task_id AND c.external_id = :key ORDER BY 1
"""


def moments(connection: Connection, key: str, subjects: Mapping[int, str], zone: str) -> tuple[Moment, ...]:
    """What happens to the customer, in order. `subjects`: of the messages that were rendered."""

    def local(at: datetime, own: str | None) -> datetime:
        return at.astimezone(ZoneInfo(zone_or(own, zone)))

    found = []
    for row in _rows(connection, _MESSAGES, key=key, worker=NAME):
        what = "skipped" if row.skip_reason else "waiting" if row.state in ("planned", "deferred") else "message"
        says = row.skip_reason or (row.hold_reason if what == "waiting" else None) or subjects.get(row.id, "")
        found.append(Moment(row.at, local(row.at, row.zone), what, row.campaign, row.step, says))
    for row in _rows(connection, _TASKS, key=key):
        found.append(Moment(row.at, local(row.at, row.zone), "task", row.campaign, "", row.title))
    return tuple(sorted(found, key=lambda one: one.at))
