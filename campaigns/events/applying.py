"""Reviewed event files become events: opened, moved, changed, cancelled. Who registered is told by the duties."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, text, update

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.events import planning
from campaigns.events.definition import reminder_step
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.pinning import PinnedEvent, pin
from campaigns.events.planned import EventPlan
from campaigns.runs import WORK_CHANNEL
from core import advisory, audit
from core.errors import NotFound, PlanError, StalePlan
from core.people_lock import people_stay
from core.schema import event, registration


def apply(
    connection: Connection, catalogue: Catalogue, entries: Sequence[Mapping[str, Any]], now: datetime, actor: str
) -> list[dict[str, Any]]:
    """The events are as their reviewed files say; a row for each that changed is returned. Repeat: safe. Atomic: yes.

    Raises:
        StalePlan: a file, or the event, changed since.
        PlanError: what was fine then cannot be done any more, such as fewer seats than are taken by now.
    """
    people_stay(connection)
    rows = []
    for entry in sorted(entries, key=lambda one: str(one.get("name"))):
        if entry.get("pending"):
            done = _applied(connection, catalogue, entry, now)
            if done is not None:
                audit.record(connection, actor, "event.apply", f"event:{done.name}", at=now, doing=list(done.doing))
                rows.append({"campaign": done.name, "done": ", ".join(done.doing), "mails": done.would_send})
    return rows


def _applied(connection: Connection, catalogue: Catalogue, entry: Mapping[str, Any], now: datetime) -> EventPlan | None:
    """What was done; None: it had been done before."""
    name = str(entry.get("name"))
    advisory.hold(connection, f"event:{name}")  # two that open it make one row
    held = _locked(connection, name)
    pinned = pin(catalogue, name)
    if pinned.fingerprint != entry.get("fingerprint"):
        raise StalePlan(f"{name}: its files changed since the plan was made", hint="make the plan again")
    if held is not None and held.fingerprint == pinned.fingerprint and held.shown[held.revision] == pinned.shown:
        return None
    if (held.fingerprint if held else None) != entry.get("was"):
        raise StalePlan(f"{name}: the event changed since the plan was made", hint="make the plan again and review it")
    plan = planning.judged(connection, pinned, held, now)
    if plan.is_pending:
        _write(connection, plan, pinned, held, now)
    return plan if plan.is_pending else None


def _locked(connection: Connection, name: str) -> HeldEvent | None:
    try:
        return lock_event(connection, name)
    except NotFound:
        return None


def _write(connection: Connection, plan: EventPlan, pinned: PinnedEvent, held: HeldEvent | None, now: datetime) -> None:
    """The row of `event` is as the file says; its revision is another one when calendars must follow."""
    revision = 0 if held is None else held.revision + plan.tells
    shown = {} if held is None else {str(number): known.stored() for number, known in held.shown.items()}
    mails = {step: versions.store(connection, version) for step, version in pinned.mails.items()}
    definition = {
        "event": pinned.definition.stored(), "fields": list(pinned.definition.registration.fields), "mails": mails,
        "joins": pinned.joins,
        "sender": {"name": pinned.sender.name, "email": pinned.sender.email},
        "shown": shown | {str(revision): pinned.shown.stored()}, "since": _since(pinned, held, now),
    }  # fmt: skip
    is_cancelled = "cancel" in plan.doing
    values: dict[str, Any] = {
        "fingerprint": pinned.fingerprint, "definition": definition, "state": "cancelled" if is_cancelled else "open",
        "starts_at": pinned.starts_at, "ends_at": pinned.ends_at, "zone": pinned.zone,
        "capacity": pinned.definition.capacity, "revision": revision, "changed_at": now,
        "cancelled_at": now if is_cancelled else None,
    }  # fmt: skip
    if held is None:
        connection.execute(insert(event).values(name=pinned.name, **values))
    else:
        connection.execute(update(event).where(event.c.name == pinned.name).values(**values))
        late = (registration.c.event == pinned.name) & (registration.c.offered_until > pinned.starts_at)
        connection.execute(update(registration).where(late).values(offered_until=pinned.starts_at))
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))


def _since(pinned: PinnedEvent, held: HeldEvent | None, now: datetime) -> dict[str, str]:
    """Since when each reminder is due when it is."""
    known = held.since if held is not None and held.starts_at == pinned.starts_at else {}
    steps = [reminder_step(reminder.before) for reminder in pinned.definition.reminders]
    return {step: known.get(step, now).isoformat() for step in steps}


def cancel(connection: Connection, name: str, now: datetime, *, actor: str) -> bool:
    """The event does not take place: calendars forget it and nothing more goes out; False: it was so before.

    For good; who registered is told by the duties. Repeat: safe.

    Raises:
        NotFound: no event of this name was applied.
        PlanError: it is over.
    """
    held = lock_event(connection, name)
    if held.state == "cancelled":
        return False
    if held.state != "open" or held.ends_at <= now:
        raise PlanError(f"{name} is over: it cannot be cancelled any more", hint=f"clarion event show {name}")
    revision = held.revision + 1
    shown = {**held.shown, revision: held.shown[held.revision]}
    stored = event.c.definition.op("||")({"shown": {str(number): known.stored() for number, known in shown.items()}})
    values = {"state": "cancelled", "revision": revision, "changed_at": now, "cancelled_at": now, "definition": stored}
    connection.execute(update(event).where(event.c.name == name).values(**values))
    audit.record(connection, actor, "event.cancel", f"event:{name}", at=now)
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    return True
