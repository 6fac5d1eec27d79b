"""What applying would do with one event, as `plan` tells it, writes it into a plan file, and `apply` compares it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from campaigns.events.definition import KIND
from campaigns.events.held import HeldEvent, Shown
from campaigns.events.pinning import PinnedEvent
from campaigns.events.seats import Counts
from campaigns.events.wording import span_shown
from core.commands import counted

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


@dataclass(frozen=True, slots=True)
class EventPlan:
    """What applying would do with one event."""

    name: str
    pinned: PinnedEvent | None  # None: its file is gone
    held: HeldEvent | None  # None: it was not applied before
    counts: Counts
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


def _seats(counts: Counts) -> str:
    return "as many as come" if counts.capacity is None else f"{counts.capacity:,}"


def _when(shown: Shown) -> str:
    return span_shown(shown, "en")
