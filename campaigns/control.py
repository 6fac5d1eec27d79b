"""Pause, resume, cancel: what may follow which state of a run."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text, update

from campaigns import batches
from campaigns.runs import WORK_CHANNEL
from campaigns.sequences import orders as sequences
from campaigns.sequences import records
from core import audit
from core.errors import NotFound, PlanError
from core.schema import run, schedule

#: From → to, as people may order it. Running → finished is the ledger's own.
ORDERS: Final = {
    "pause": ({"running"}, "paused"),
    "resume": ({"paused"}, "running"),
    "cancel": ({"running", "paused"}, "cancelled"),
}
#: The same for the schedule of a recurring campaign. A cancelled one starts again only with a new version's plan.
SCHEDULE_ORDERS: Final = {
    "pause": ({"active"}, "paused"),
    "resume": ({"paused"}, "active"),
    "cancel": ({"active", "paused"}, "cancelled"),
}


def order(connection: Connection, campaign: str, verb: str, *, actor: str, now: datetime) -> list[int]:
    """Every open run of the campaign is in the ordered state; the ids of the runs that changed are returned.

    No hand-over begins after a pause or cancel is committed; what was handed over is not recalled. A recurring
    campaign's schedule pauses, goes on and ends with its runs, and so do the passages of a sequence. Repeat: safe.

    Raises:
        NotFound: the campaign never ran and is not scheduled.
        PlanError: none of its runs, or not the sequence, is in a state the order fits.
    """
    befores, after = ORDERS[verb]
    moved = sequences.order(connection, campaign, verb)  # first: a pass under way holds the sequence before its runs
    scheduled = _order_schedule(connection, campaign, verb, now) or moved is not None
    fitting = select(run.c.id).where(run.c.campaign == campaign, run.c.state.in_(befores)).order_by(run.c.id)
    # Locked, so that an order given at the same instant is waited for, and not overruled.
    changed = list(connection.execute(fitting.with_for_update(key_share=True)).scalars())
    if not changed and not scheduled:
        _check_is_done(connection, campaign, verb)
    told: dict[str, dict[str, datetime | None]] = {"cancel": {"finished_at": now}, "resume": {"fault": None}}
    connection.execute(update(run).where(run.c.id.in_(changed)).values(state=after, **told.get(verb, {})))
    for run_id in changed:
        batches.settle_stopped(connection, now, run_id=run_id)
    if verb == "resume":
        batches.finish_runs(connection, now)
        connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    audit.record(connection, actor, verb, f"campaign:{campaign}", at=now, runs=changed)
    return changed


def is_scheduled(connection: Connection, campaign: str, verb: str) -> bool:
    """Whether the campaign has a schedule, or is a sequence, that the order would change."""
    mine = (schedule.c.campaign == campaign) & schedule.c.state.in_(SCHEDULE_ORDERS[verb][0])
    has_schedule = connection.execute(select(schedule.c.campaign).where(mine)).first() is not None
    record = records.find(connection, campaign)
    return has_schedule or (record is not None and record.state in sequences.ORDERS[verb][0])


def _check_is_done(connection: Connection, campaign: str, verb: str) -> None:
    befores, after = ORDERS[verb]
    states = set(connection.execute(select(run.c.state).where(run.c.campaign == campaign)).scalars())
    if not states:
        raise NotFound(f"campaign {campaign!r} has no run", hint="start it with `clarion send` or `clarion apply`")
    if after not in states:
        found = ", ".join(sorted(states))
        raise PlanError(f"cannot {verb} {campaign!r} (its runs are {found}, expected {' or '.join(sorted(befores))})")


def _order_schedule(connection: Connection, campaign: str, verb: str, now: datetime) -> bool:
    """The recurring campaign's schedule follows the order; False when there is none that can."""
    befores, after = SCHEDULE_ORDERS[verb]
    values: dict[str, object] = {"state": after, "fault": None}
    if verb == "resume":
        values["since"] = now  # what was missed while it was paused is not made up for
    mine = (schedule.c.campaign == campaign) & schedule.c.state.in_(befores)
    return bool(connection.execute(update(schedule).where(mine).values(**values)).rowcount)
