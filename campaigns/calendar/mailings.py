"""Of the calendar: messages of runs that wait, times of recurring campaigns, and campaigns that nobody applied yet."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from campaigns.calendar.entries import Certainty, Entry, Kind, Window
from campaigns.catalogue import Catalogue
from core.cron import Times, times_within
from core.local_time import zone_or
from core.units import local_instant

_MOMENT: Final = timedelta(microseconds=1)
#: Batches, not messages: there are some hundred times fewer of them, and those that are done are not read.
_WAITING: Final = text("""
    SELECT run.campaign, run.step, run.occurrence, run.state, v.kind,
        min(batch.not_before) AS begins, max(batch.not_before) AS ends,
        sum(cardinality(batch.message_ids)) AS heads, max(batch.stage) AS stage, max(run.stage) AS reached,
        (greatest(batch.not_before, :now) AT TIME ZONE :zone)::date AS day
    FROM batch JOIN run ON run.id = batch.run_id JOIN campaign_version AS v ON v.id = run.version_id
    WHERE batch.state <> 'done' AND batch.not_before < :until AND run.state IN ('running', 'paused')
        AND v.message_class <> 'transactional'
    GROUP BY run.id, v.kind, day
""")


def waiting(connection: Connection, window: Window) -> Iterator[Entry]:
    """Messages of runs that were applied, by the day on which they may go."""
    given = {"now": window.now, "until": window.until, "zone": window.zone}
    for row in connection.execute(_WAITING, given).mappings():
        yield Entry(
            at=max(row["begins"], window.now),
            until=row["ends"] if row["ends"] > max(row["begins"], window.now) else None,
            kind=Kind.SEQUENCE if row["kind"] == "sequence" else Kind.MAILING,
            name=row["campaign"],
            what=_what(row),
            count=int(row["heads"]),
            certainty=Certainty.MEASURED,
            remark=_IN_STAGES if row["stage"] > row["reached"] else "",
            is_paused=row["state"] == "paused",
        )


def _what(row: RowMapping) -> str:
    if row["kind"] == "sequence":
        return f"{row['step']}: on the way"
    return "goes out" if row["kind"] == "broadcast" else f"goes out, of {row['occurrence']}"


_IN_STAGES: Final = "in stages, later ones when the earlier went well"
_SCHEDULES: Final = text("""
    SELECT s.campaign, s.cron, s.zone, s.state, s.since, last.starts_at, last.heads
    FROM schedule AS s LEFT JOIN LATERAL (
        SELECT run.starts_at, count(*) FILTER (WHERE message.skip_reason IS NULL) AS heads
        FROM (SELECT id, starts_at FROM run WHERE run.campaign = s.campaign ORDER BY id DESC LIMIT 1) AS run
        LEFT JOIN message ON message.run_id = run.id GROUP BY run.starts_at
    ) AS last ON true
    WHERE s.state IN ('active', 'paused')
""")


def recurring(connection: Connection, window: Window) -> Iterator[Entry]:
    """The coming times of recurring campaigns, those of one day together; the last run tells how many there will be."""
    for row in connection.execute(_SCHEDULES).mappings():
        for times in _by_day(row, window):
            count = None if row["heads"] is None else row["heads"] * times.count
            last = f"as on {window.day_of(row['starts_at']):%Y-%m-%d}" if count is not None else "has not run yet"
            yield Entry(
                at=times.first,
                until=times.last if times.count > 1 else None,
                kind=Kind.RECURRING,
                name=row["campaign"],
                what=f"runs {times.count} times" if times.count > 1 else "runs",
                count=count,
                certainty=Certainty.UNKNOWN if count is None else Certainty.ESTIMATED,
                remark=last,
                is_paused=row["state"] == "paused",
            )


def _by_day(row: RowMapping, window: Window) -> Iterator[Times]:
    """The times of each day that has any: after the last that counts as over, never one by one."""
    after = max(row["since"], window.now)
    midnights = [window.midnight(number) for number in range(1, window.days + 1)]
    for begin, end in pairwise((after + _MOMENT, *(each for each in midnights if each > after + _MOMENT))):
        times = times_within(row["cron"], row["zone"], begin, end)
        if times is not None:
            yield times


_RAN: Final = text("SELECT DISTINCT campaign FROM run")


def not_applied(connection: Connection, catalogue: Catalogue, window: Window) -> Iterator[Entry]:
    """Campaigns whose file names a time within the days, and that nobody has applied."""
    known = set(connection.execute(_RAN).scalars())
    for name, campaign in catalogue.campaigns.items():
        schedule = campaign.schedule
        if schedule is None or schedule.at is None or name in known:
            continue
        at = local_instant(schedule.at, zone_or(schedule.zone, catalogue.settings.organisation.zone))
        if window.holds(at):
            remark = "not applied yet: nothing goes out until it is"
            yield Entry(at, Kind.MAILING, name, "is written for this time", None, Certainty.UNKNOWN, remark=remark)
