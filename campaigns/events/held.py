"""Events as they were applied: the row of `event`, read into facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from campaigns.duty import Circumstances
from campaigns.events.definition import EventFile, registration_window
from campaigns.events.invitation import PREFIX
from campaigns.transactional import Standing
from core.errors import NotFound
from core.form_settings import in_language
from core.names import did_you_mean
from core.schema import event


@dataclass(frozen=True, slots=True)
class Shown:
    """What calendars show of an event: who has an entry is told when any of it changes."""

    starts_at: datetime
    ends_at: datetime
    zone: str
    title: Mapping[str, str]
    place: str | None
    online: str | None

    def changes_from(self, before: "Shown") -> tuple[str, ...]:
        """What is another now: `when`, `title`, `place`, `online`."""
        is_other = {
            "when": (self.starts_at, self.ends_at, self.zone) != (before.starts_at, before.ends_at, before.zone),
            "title": self.title != before.title,
            "place": self.place != before.place,
            "online": self.online != before.online,
        }
        return tuple(name for name, other in is_other.items() if other)

    def stored(self) -> dict[str, Any]:
        """As plain JSON values; `of` reads it back."""
        return {
            "starts_at": self.starts_at.isoformat(), "ends_at": self.ends_at.isoformat(), "zone": self.zone,
            "title": dict(self.title), "place": self.place, "online": self.online,
        }  # fmt: skip

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Shown":
        """What `stored` described."""
        starts_at, ends_at = (datetime.fromisoformat(stored[name]) for name in ("starts_at", "ends_at"))
        return cls(starts_at, ends_at, stored["zone"], stored["title"], stored["place"], stored["online"])


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event at the state that was applied. `mails`: the campaign version of each of its mails, by step."""

    name: str
    definition: EventFile
    fingerprint: str
    state: str  # open, closed (attendance is on record) or cancelled
    starts_at: datetime
    ends_at: datetime
    zone: str
    capacity: int | None
    revision: int
    mails: Mapping[str, int]
    joins: Mapping[str, frozenset[str]]  # by step: what its template tells beside its own news: `party`, `events`
    organiser_name: str
    organiser_email: str
    shown: Mapping[int, "Shown"]  # what calendars showed at each revision, this one included
    since: Mapping[str, datetime]  # by reminder: since when its time is what it is; one that was due before is not sent

    @classmethod
    def of(cls, row: Row[Any]) -> "HeldEvent":
        """What the row of `event` says."""
        stored = row.definition
        return cls(
            row.name, EventFile.model_validate(_in_order(stored)), row.fingerprint, row.state, row.starts_at,
            row.ends_at, row.zone, row.capacity, row.revision, stored["mails"],
            {step: frozenset(told) for step, told in stored["joins"].items()}, stored["sender"]["name"],
            stored["sender"]["email"],
            {int(number): Shown.of(shown) for number, shown in stored["shown"].items()},
            {step: datetime.fromisoformat(at) for step, at in stored["since"].items()},
        )  # fmt: skip

    @property
    def campaign(self) -> str:
        """What its mails are known by in the ledger."""
        return PREFIX + self.name

    @property
    def window(self) -> tuple[datetime | None, datetime]:
        """When registration opens (None: it is open) and closes."""
        return registration_window(self.definition, self.zone)

    def begins_later(self, now: datetime) -> bool:
        """Whether its day is still to come at `now`, where it takes place."""
        zone = ZoneInfo(self.zone)
        return self.state == "open" and now.astimezone(zone).date() < self.starts_at.astimezone(zone).date()

    def title(self, language: str | None) -> str:
        """What it is called in the language, or the next best one."""
        return in_language(self.definition.title, language or "") or self.name

    def standing(self, step: str, circumstances: Circumstances) -> Standing | None:
        """Its mail of this step, ready to be ordered; None: it has none."""
        version_id = self.mails.get(step)
        return None if version_id is None else Standing(self.campaign, version_id, circumstances.policy, step)


def _in_order(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with the fields of its form in the order of the file, which JSON in the database does not keep."""
    definition: dict[str, Any] = stored["event"]
    registration = definition.get("registration", {})
    if "fields" not in registration:
        return definition
    fields = {name: registration["fields"][name] for name in stored["fields"]}
    return definition | {"registration": registration | {"fields": fields}}


def event_of(connection: Connection, name: str) -> HeldEvent:
    """The event as it was applied last.

    Raises:
        NotFound: no event of this name was applied.
    """
    row = connection.execute(select(event).where(event.c.name == name)).one_or_none()
    if row is None:
        known = list(connection.execute(select(event.c.name)).scalars())
        hint = did_you_mean(name, known) or "events are applied from events/*.yaml with: clarion apply"
        raise NotFound(f"no event {name!r}", hint=hint)
    return HeldEvent.of(row)


def lock_event(connection: Connection, name: str) -> HeldEvent:
    """The event; nobody else gives or takes a seat of it until the transaction ends.

    Raises:
        NotFound: no event of this name was applied.
    """
    locking = select(event).where(event.c.name == name).with_for_update(key_share=True)
    row = connection.execute(locking).one_or_none()
    return event_of(connection, name) if row is None else HeldEvent.of(row)
