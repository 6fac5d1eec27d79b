"""Pause, resume, cancel: what may follow which state of a run."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select, text, update

from campaigns.runs import WORK_CHANNEL
from core.errors import NotFound, PlanError
from core.schema import audit, batch, message, run, schedule

#: From → to, as people may order it. Running → finished is the ledger's own.
ORDERS: Final = {
    "pause": ({"running"}, "paused"),
    "resume": ({"paused"}, "running"),
    "cancel": ({"running", "paused"}, "cancelled"),
}


def order(connection: Connection, campaign: str, verb: str, *, actor: str, now: datetime) -> list[int]:
    """Every open run of the campaign is in the ordered state; the ids of the runs that changed are returned.

    Nothing more is handed over once a pause or cancel is committed; what was handed over is not recalled.
    A recurring campaign's schedule stops with pause and cancel and goes on with resume. Repeat: safe.

    Raises:
        NotFound: the campaign never ran and is not scheduled.
        PlanError: none of its runs is in a state the order fits.
    """
    befores, after = ORDERS[verb]
    scheduled = _order_schedule(connection, campaign, verb, now)
    states = {
        row.id: row.state for row in connection.execute(select(run.c.id, run.c.state).where(run.c.campaign == campaign))
    }
    if not states and not scheduled:
        raise NotFound(f"campaign {campaign!r} has no run", hint="start it with `clarion send` or `clarion apply`")
    changed = [run_id for run_id, state in states.items() if state in befores]
    if not changed and not scheduled and after not in states.values():
        found = ", ".join(sorted(set(states.values())))
        raise PlanError(f"cannot {verb} {campaign!r} (its runs are {found}, expected {' or '.join(sorted(befores))})")
    connection.execute(update(run).where(run.c.id.in_(changed)).values(state=after))
    if verb == "cancel":
        _cancel_messages(connection, changed, now)
    if verb == "resume":
        connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    connection.execute(
        insert(audit).values(actor=actor, action=verb, subject=f"campaign:{campaign}", detail={"runs": changed})
    )
    return changed


def _order_schedule(connection: Connection, campaign: str, verb: str, now: datetime) -> bool:
    values: dict[str, object] = {"active": verb == "resume"}
    if verb == "resume":
        values["since"] = now
    return bool(connection.execute(update(schedule).where(schedule.c.campaign == campaign).values(**values)).rowcount)


def _cancel_messages(connection: Connection, runs: list[int], now: datetime) -> None:
    """Messages that were not handed over never will be. Those in a worker's hands are refused at the hand-over."""
    open_states = message.c.state.in_(["planned", "claimed", "deferred"])
    connection.execute(
        update(message)
        .where(message.c.run_id.in_(runs), open_states)
        .values(state="skipped", skip_reason="cancelled", state_at=now)
    )
    connection.execute(update(batch).where(batch.c.run_id.in_(runs), batch.c.state == "ready").values(state="done"))
    connection.execute(update(run).where(run.c.id.in_(runs)).values(finished_at=now))
