"""What applying an event file would do: open it, move it, change its mails, cancel it; or why that cannot be."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from campaigns.catalogue import Catalogue
from campaigns.events import seats
from campaigns.events.definition import EventFile
from campaigns.events.held import HeldEvent
from campaigns.events.pinning import PinnedEvent, pin
from campaigns.events.planned import EventPlan
from core.errors import PlanError
from core.local_time import shown_in
from core.schema import campaign_version, event
from core.units import format_duration


def names(connection: Connection, catalogue: Catalogue) -> Collection[str]:
    """The events of the files, and those that are open in the database and have no file any more."""
    held = connection.execute(select(event.c.name).where(event.c.state == "open")).scalars()
    return {*catalogue.events, *held}


def plan(connection: Connection, catalogue: Catalogue, name: str, now: datetime) -> EventPlan:
    """What applying the file of the event would do; nothing is written.

    Raises:
        PlanError: it cannot be done: fewer seats than are taken, a start that is over, another calendar method.
    """
    row = connection.execute(select(event).where(event.c.name == name)).one_or_none()
    held = HeldEvent.of(row) if row is not None else None
    if name not in catalogue.events:
        counts = seats.count(connection, held) if held is not None else seats.Counts(None, 0, 0, 0)
        return EventPlan(name, None, held, counts)
    return judged(connection, pin(catalogue, name), held, now)


def judged(connection: Connection, pinned: PinnedEvent, held: HeldEvent | None, now: datetime) -> EventPlan:
    """What has to be done to bring the event to what its file says.

    Raises:
        PlanError: as for `plan`.
    """
    definition, name = pinned.definition, pinned.name
    if held is None:
        counts = seats.Counts(definition.capacity, 0, 0, 0)
        is_over = pinned.starts_at <= now
        doing: tuple[str, ...] = () if definition.cancelled or is_over else ("open",)
        note = ("it is over: nothing is opened",) if is_over else ()
        return EventPlan(name, pinned, None, counts, doing, note)
    taken = seats.count(connection, held)
    counts = seats.Counts(definition.capacity, taken.confirmed, taken.offered, taken.waiting)
    if held.state != "open":
        return EventPlan(name, pinned, held, counts, (), _ended(held, pinned))
    is_over = held.ends_at <= now
    if definition.cancelled:
        if is_over:
            return EventPlan(name, pinned, held, counts, (), ("it is over: nothing is cancelled",))
        return EventPlan(name, pinned, held, counts, ("cancel",))
    changes = _doing(connection, pinned, held, now)
    _check(pinned, held, counts, changes, now)
    notes = tuple(_told_apart(pinned, held, now)) if changes else ()
    return EventPlan(name, pinned, held, counts, changes, notes, is_over)


def _doing(connection: Connection, pinned: PinnedEvent, held: HeldEvent, now: datetime) -> tuple[str, ...]:
    changes = pinned.shown.changes_from(held.shown[held.revision])
    if held.starts_at <= now and _meant(pinned.definition, pinned.zone) == _meant(held.definition, held.zone):
        changes = tuple(what for what in changes if what != "when")  # only its zone's rules changed (S-8.1)
    capacity = ("capacity",) if pinned.definition.capacity != held.capacity else ()
    if pinned.fingerprint == held.fingerprint:
        return (*changes, *capacity)
    has_other_texts = (not changes and not capacity) or _rest(pinned) != _held_rest(connection, held)
    return (*changes, *capacity, *(("texts",) if has_other_texts else ()))


def _meant(definition: EventFile, zone: str) -> tuple[Any, ...]:
    """When it takes place, in words of its file."""
    return definition.starts, definition.ends, definition.lasts, zone


#: What the plan names by itself.
_NAMED: Final = frozenset({"title", "starts", "ends", "lasts", "zone", "place", "online", "capacity"})


def _rest(pinned: PinnedEvent) -> tuple[Any, ...]:
    mails = {step: version.fingerprint for step, version in pinned.mails.items()}
    return (*_unnamed(pinned.definition), pinned.sender.name, pinned.sender.email, mails)


def _held_rest(connection: Connection, held: HeldEvent) -> tuple[Any, ...]:
    query = select(campaign_version.c.id, campaign_version.c.fingerprint)
    known = connection.execute(query.where(campaign_version.c.id.in_(held.mails.values()))).all()
    prints = {number: fingerprint for number, fingerprint in known}  # noqa: C416  rows
    mails = {step: prints.get(number) for step, number in held.mails.items()}
    return (*_unnamed(held.definition), held.organiser_name, held.organiser_email, mails)


def _unnamed(definition: EventFile) -> tuple[dict[str, Any], list[str]]:
    """What the file says beside what the plan names, and the order of the form's fields."""
    stored = {name: said for name, said in definition.stored().items() if name not in _NAMED}
    return stored, list(definition.registration.fields)


def _check(pinned: PinnedEvent, held: HeldEvent, counts: seats.Counts, doing: tuple[str, ...], now: datetime) -> None:
    definition, name = pinned.definition, pinned.name
    taken = counts.confirmed + counts.offered
    if definition.capacity is not None and definition.capacity < taken:
        raise PlanError(
            f"{name}: {definition.capacity:,} seats are fewer than are taken "
            f"({counts.confirmed:,} confirmed, {counts.offered:,} offered, {counts.waiting:,} waiting)",
            hint=f"keep at least {taken:,}, or withdraw some first: clarion event withdraw {name} KEY",
        )
    in_line = counts.offered + counts.waiting
    if definition.waiting_list is None and held.definition.waiting_list is not None and in_line:
        raise PlanError(
            f"{name}: the waiting list cannot be taken away while somebody is on it "
            f"({counts.offered:,} offered, {counts.waiting:,} waiting)",
            hint=f"raise 'capacity' until everybody has a seat, or withdraw them: clarion event withdraw {name} KEY",
        )
    if "when" in doing and (pinned.starts_at <= now or held.starts_at <= now):
        over = "it has begun" if held.starts_at <= now else "its new start is over"
        raise PlanError(f"{name} cannot be moved: {over}", hint="move it to a time that is still to come")
    has_attendees = bool(taken + counts.waiting)
    if definition.calendar != held.definition.calendar and has_attendees:
        raise PlanError(
            f"{name}: what came by {held.definition.calendar!r} cannot go by {definition.calendar!r}: calendars would "
            "keep both",
            hint=f"leave it at calendar: {held.definition.calendar}",
        )
    if pinned.sender.email != held.organiser_email and has_attendees:
        raise PlanError(
            f"{name}: calendars take changes from {held.organiser_email} alone (got {pinned.sender.email})",
            hint="leave the organiser as it was",
        )


def _ended(held: HeldEvent, pinned: PinnedEvent) -> tuple[str, ...]:
    if held.state == "cancelled" and not pinned.definition.cancelled:
        return ("it was cancelled, for good: give an event that takes place after all a file of another name",)
    return ()


def _told_apart(pinned: PinnedEvent, held: HeldEvent, now: datetime) -> Iterator[str]:
    """What becomes of reminders, where anything about them changes."""
    before = {reminder.before: held.starts_at - reminder.before for reminder in held.definition.reminders}
    for reminder in pinned.definition.reminders:
        due = pinned.starts_at - reminder.before
        if before.get(reminder.before) == due:
            continue
        over = "" if due > now else " is over, not sent"
        yield f"reminder {format_duration(reminder.before)} before: {shown_in(pinned.zone, due)}{over}"
