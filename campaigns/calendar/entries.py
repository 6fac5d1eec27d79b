"""One line of the calendar, and the days they stand on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from core.units import local_instant


class Kind(StrEnum):
    """What a line is about."""

    MAILING = "mailing"  #: messages of a run that was applied
    RECURRING = "recurring"  #: a time of a recurring campaign that is still to come
    SEQUENCE = "sequence"  #: people whose next step is due
    EVENT = "event"  #: an event takes place
    EVENT_MAIL = "event mail"  #: a reminder or a follow-up
    DEADLINE = "deadline"  #: something ends, or is due


class Certainty(StrEnum):
    """Where the number of a line comes from."""

    MEASURED = "measured"  #: counted now
    ESTIMATED = "estimated"  #: reckoned from what was before
    UNKNOWN = "unknown"  #: nobody can tell yet


@dataclass(frozen=True, slots=True)
class Window:
    """The days that are looked at: from the one of `now` on, by the organisation's clock."""

    now: datetime
    days: int
    zone: str

    @property
    def first_day(self) -> date:
        """Today."""
        return self.day(self.now)

    @property
    def until(self) -> datetime:
        """The end of the last day."""
        return self.midnight(self.days)

    def midnight(self, number: int) -> datetime:
        """The beginning of a day, so many after the first."""
        return local_instant(datetime.combine(self.first_day + timedelta(days=number), time()), self.zone)

    def day(self, at: datetime) -> date:
        """The day on which an instant is; what should have been before today is today's."""
        return self.day_of(max(at, self.now))

    def day_of(self, at: datetime) -> date:
        """The day of an instant, be it past."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def holds(self, at: datetime) -> bool:
        """Whether the instant is still ahead, and within the days."""
        return self.now <= at < self.until


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `count`: mails where `is_mail`, else people, seats or tasks; None: unknown."""

    at: datetime
    kind: Kind
    name: str  # of the campaign, sequence or event
    what: str
    count: int | None
    certainty: Certainty
    is_mail: bool = True
    until: datetime | None = None  # the last of several instants on that day
    remark: str = ""
    is_paused: bool = False  # nothing goes out until somebody resumes it

    def document(self, zone: str) -> dict[str, Any]:
        """The public form."""
        return {
            "at": self.at.astimezone(UTC),
            "until": self.until.astimezone(UTC) if self.until is not None else None,
            "local_time": f"{self.at.astimezone(ZoneInfo(zone)):%H:%M}",
            "kind": self.kind.value,
            "name": self.name,
            "what": self.what,
            "count": self.count,
            "certainty": self.certainty.value,
            "is_mail": self.is_mail,
            "remark": self.remark or None,
            "paused": self.is_paused,
        }


@dataclass(frozen=True, slots=True)
class Day:
    """The lines of one day, in the order of their times."""

    date: date
    entries: tuple[Entry, ...]

    def mails(self, certainty: Certainty) -> int:
        """How many mails of this certainty go out; what is paused is not counted."""
        goes = (entry for entry in self.entries if entry.is_mail and not entry.is_paused)
        return sum(entry.count or 0 for entry in goes if entry.certainty is certainty)

    @property
    def all_mails(self) -> int:
        """Measured and estimated ones together."""
        return self.mails(Certainty.MEASURED) + self.mails(Certainty.ESTIMATED)

    @property
    def is_estimated(self) -> bool:
        """Whether the number is more than what was counted, or some lines have none."""
        goes = (entry for entry in self.entries if entry.is_mail and not entry.is_paused)
        return any(entry.certainty is not Certainty.MEASURED for entry in goes)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What goes out in the days from today on. `remarks`: what could not be told."""

    window: Window
    days: tuple[Day, ...]
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, window: Window, entries: Sequence[Entry], remarks: Sequence[str] = ()) -> "Calendar":
        """Every day of the window, with its entries."""
        by_day: dict[date, list[Entry]] = {
            window.first_day + timedelta(days=number): [] for number in range(window.days)
        }
        for entry in entries:
            by_day[window.day(entry.at)].append(entry)
        days = (
            Day(day, tuple(sorted(found, key=lambda one: (max(one.at, window.now), one.kind, one.name, one.what))))
            for day, found in by_day.items()
        )
        return cls(window, tuple(days), tuple(remarks))

    def document(self) -> dict[str, Any]:
        """The public form."""
        window = self.window
        return {
            "as_of": window.now,
            "zone": window.zone,
            "days": [
                {
                    "date": day.date,
                    "mails_measured": day.mails(Certainty.MEASURED),
                    "mails_estimated": day.mails(Certainty.ESTIMATED),
                    "entries": [entry.document(window.zone) for entry in day.entries],
                }
                for day in self.days
            ],
            "remarks": list(self.remarks),
        }
