"""What applying an event file would do: open it, move it, change its mails, cancel it; or why that cannot be."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.definition import TRANSACTIONAL, CampaignFile, Limits, Send
from campaigns.events import seats
from campaigns.events.definition import EventFile, MailOf, instants, reminder_step
from campaigns.events.held import HeldEvent, Shown
from campaigns.events.invitation import PREFIX
from campaigns.events.wording import span
from campaigns.versions import Version
from core.commands import counted
from core.errors import PlanError
from core.schema import campaign_version, event
from core.settings import Sender
from core.units import format_duration

KIND: Final = "event"
#: What a template names to say that it tells more than its own news (`mails`, `reminding`).
JOINS: Final[Mapping[str, str]] = {"party": "given.party", "events": "given.events"}


@dataclass(frozen=True, slots=True)
class PinnedEvent:
    """An event file with everything its mails use, pinned."""

    name: str
    definition: EventFile
    zone: str
    starts_at: datetime
    ends_at: datetime
    sender: Sender
    mails: Mapping[str, Version]

    @property
    def shown(self) -> Shown:
        """What calendars show of it."""
        made = self.definition
        return Shown(self.starts_at, self.ends_at, self.zone, made.title, made.place, made.online)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything it says and sends."""
        whole = {
            "event": self.definition.stored(), "fields": list(self.definition.registration.fields), "zone": self.zone,
            "sender": [self.sender.name, self.sender.email],
            "mails": {step: version.fingerprint for step, version in sorted(self.mails.items())},
        }  # fmt: skip
        canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    @property
    def joins(self) -> dict[str, list[str]]:
        """What each mail's templates tell beside their own news."""
        texts = {step: "".join(used.text for used in mail.templates.values()) for step, mail in self.mails.items()}
        return {step: [told for told, name in JOINS.items() if name in text] for step, text in texts.items()}


def pin(catalogue: Catalogue, name: str) -> PinnedEvent:
    """The event as its file says now.

    Raises:
        NotFound: there is no such file.
    """
    definition = catalogue.event(name)
    zone = definition.zone or catalogue.settings.organisation.zone
    starts_at, ends_at = instants(definition, zone)
    mails = {
        step: versions.pin_as(catalogue, PREFIX + name, _sent(definition, step, mail))
        for step, mail in definition.every_mail()
    }
    sender = catalogue.settings.senders[definition.organiser]
    return PinnedEvent(name, definition, zone, starts_at, ends_at, sender, mails)


def _sent(definition: EventFile, step: str, mail: MailOf) -> CampaignFile:
    """The mail as a transactional campaign. A reminder that could not go before the start does not go."""
    befores = {reminder_step(reminder.before): reminder.before for reminder in definition.reminders}
    send = Send(
        template=mail.template, sender=definition.organiser, subject=mail.subject, transport=definition.transport
    )
    return CampaignFile(kind=TRANSACTIONAL, send=send, limits=Limits(valid_for=befores.get(step)))


@dataclass(frozen=True, slots=True)
class EventPlan:
    """What applying would do with one event."""

    name: str
    pinned: PinnedEvent | None  # None: its file is gone
    held: HeldEvent | None  # None: it was not applied before
    counts: seats.Counts
    doing: tuple[str, ...] = ()  # open, when, title, place, online, capacity, cancel, texts
    notes: tuple[str, ...] = field(default=())
    is_over: bool = False  # nobody is told of anything any more

    @property
    def is_pending(self) -> bool:
        """Applying would do something."""
        return bool(self.doing)

    @property
    def tells(self) -> bool:
        """Whether everybody who registered is told."""
        return not self.is_over and bool({"when", "title", "place", "online", "cancel"}.intersection(self.doing))

    @property
    def would_send(self) -> int:
        """How many mails of change or cancellation go out."""
        return self.counts.confirmed + self.counts.offered + self.counts.waiting if self.tells else 0

    @property
    def cancelled_at(self) -> datetime | None:
        """Always None: a cancelled event does not begin anew."""
        return None

    def document(self) -> dict[str, Any]:
        """Its entry under `campaigns` of `plan --json`."""
        return {
            "name": self.name, "kind": KIND, "audience": self.would_send, "would_send": self.would_send, "skipped": {},
            "doing": list(self.doing), "confirmed": self.counts.confirmed, "offered": self.counts.offered,
            "waiting": self.counts.waiting, "capacity": self.counts.capacity,
            "starts_at": self.pinned.starts_at if self.pinned else None, "remarks": list(self.notes),
        }  # fmt: skip

    def changes(self) -> list[dict[str, Any]]:
        """Its entries under `changes` of `plan --json`."""
        mails = {"mails": self.would_send} if self.tells else {}
        return [{"campaign": self.name, "change": "event:" + what, **mails} for what in self.doing]

    def reviewed(self) -> dict[str, Any]:
        """Its entry in a plan file."""
        return {
            "fingerprint": self.pinned.fingerprint if self.pinned else None,
            "was": self.held.fingerprint if self.held else None,
            "pending": self.is_pending,
        }

    def lines(self) -> Iterator[str]:
        """What is told on screen under its name."""
        if self.pinned is None:
            yield "its file is gone: registrations and mails go on as they were (to end it: cancelled: true)"
            return
        if self.held is not None and self.held.shown[self.held.revision] != self.pinned.shown:
            yield f"was      {_when(self.held.shown[self.held.revision])}"
        yield f"takes place {_when(self.pinned.shown)}"
        yield (
            f"seats    {_seats(self.counts)}: {self.counts.confirmed:,} confirmed, {self.counts.offered:,} offered, "
            f"{self.counts.waiting:,} waiting"
        )
        for what in self.doing:
            yield f"does     {_SAID[what]}"
        if self.tells:
            yield f"mails    {counted(self.would_send, 'mail')} tell of it"
        yield from self.notes
        if not self.doing:
            yield "nothing to do"


_SAID: Final = {
    "open": "registration opens",
    "when": "it moves: calendars follow, reminders that have not gone are planned anew",
    "title": "its title changes",
    "place": "its place changes",
    "online": "its address on the web changes",
    "capacity": "the number of seats changes",
    "cancel": "it is cancelled, for good: calendars forget it, nothing more goes out",
    "texts": "mails, reminders or rules of registration change, for what is sent from now on",
}


def _seats(counts: seats.Counts) -> str:
    return "as many as come" if counts.capacity is None else f"{counts.capacity:,}"


def _when(shown: Shown) -> str:
    return span(shown.starts_at, shown.ends_at, shown.zone, "en")


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
    changes = _doing(connection, pinned, held)
    _check(pinned, held, counts, changes, now)
    notes = tuple(_told_apart(pinned, held, now)) if changes else ()
    return EventPlan(name, pinned, held, counts, changes, notes, is_over)


def _doing(connection: Connection, pinned: PinnedEvent, held: HeldEvent) -> tuple[str, ...]:
    changes = pinned.shown.changes_from(held.shown[held.revision])
    capacity = ("capacity",) if pinned.definition.capacity != held.capacity else ()
    if pinned.fingerprint == held.fingerprint:
        return (*changes, *capacity)
    has_other_texts = (not changes and not capacity) or _rest(pinned) != _held_rest(connection, held)
    return (*changes, *capacity, *(("texts",) if has_other_texts else ()))


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
        yield f"reminder {format_duration(reminder.before)} before: {due:%Y-%m-%d %H:%M} UTC{over}"
