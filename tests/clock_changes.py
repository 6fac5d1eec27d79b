"""What clocks show in ten zones for a month around both changes of 2026, written down, not asked of a zone database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

#: How many days before and after a change are looked at: a month.
AROUND: Final = 15


@dataclass(frozen=True, slots=True)
class ClockChange:
    """At the moment when the old clock shows `old`, it is set to `new`. `offset`: of the old clock, from UTC."""

    zone: str
    old: datetime
    new: datetime
    offset: timedelta

    def __str__(self) -> str:
        return f"{self.zone} {self.old:%Y-%m-%d}"

    @property
    def days(self) -> list[date]:
        """The days of the month around the change."""
        return [self.old.date() + timedelta(days=number) for number in range(-AROUND, AROUND + 1)]

    def instant(self, wall: datetime) -> datetime:
        """The instant (UTC) that is meant by a local time in the month around the change (S-8.2).

        What the change skips is read off the old clock, and so is the first of what it repeats.
        """
        new_clock = wall >= max(self.old, self.new)
        offset = self.offset + (self.new - self.old) if new_clock else self.offset
        return (wall - offset).replace(tzinfo=UTC)

    def daily(self, at: time) -> list[datetime]:
        """The instants (UTC) of one time of day on each day of the month, in order."""
        return [self.instant(datetime.combine(day, at)) for day in self.days]


def _changes(zone: str, *changes: tuple[str, str, float]) -> Iterator[ClockChange]:
    for old, new, hours in changes:
        yield ClockChange(zone, datetime.fromisoformat(old), datetime.fromisoformat(new), timedelta(hours=hours))


#: Gaps and overlaps of an hour and of half an hour, at night, at midnight, and over it; either half of the world.
CLOCK_CHANGES: Final[tuple[ClockChange, ...]] = (
    *_changes(
        "America/New_York", ("2026-03-08T02:00", "2026-03-08T03:00", -5), ("2026-11-01T02:00", "2026-11-01T01:00", -4)
    ),
    *_changes(
        "Europe/Berlin", ("2026-03-29T02:00", "2026-03-29T03:00", 1), ("2026-10-25T03:00", "2026-10-25T02:00", 2)
    ),
    *_changes(
        "Europe/London", ("2026-03-29T01:00", "2026-03-29T02:00", 0), ("2026-10-25T02:00", "2026-10-25T01:00", 1)
    ),
    *_changes(
        "Atlantic/Azores", ("2026-03-29T00:00", "2026-03-29T01:00", -1), ("2026-10-25T01:00", "2026-10-25T00:00", 0)
    ),
    *_changes("Asia/Beirut", ("2026-03-29T00:00", "2026-03-29T01:00", 2), ("2026-10-25T00:00", "2026-10-24T23:00", 3)),
    *_changes(
        "America/Santiago", ("2026-04-05T00:00", "2026-04-04T23:00", -3), ("2026-09-06T00:00", "2026-09-06T01:00", -4)
    ),
    *_changes(
        "America/St_Johns",
        ("2026-03-08T02:00", "2026-03-08T03:00", -3.5),
        ("2026-11-01T02:00", "2026-11-01T01:00", -2.5),
    ),
    *_changes(
        "Australia/Lord_Howe",
        ("2026-04-05T02:00", "2026-04-05T01:30", 11),
        ("2026-10-04T02:00", "2026-10-04T02:30", 10.5),
    ),
    *_changes(
        "Pacific/Auckland", ("2026-04-05T03:00", "2026-04-05T02:00", 13), ("2026-09-27T02:00", "2026-09-27T03:00", 12)
    ),
    *_changes(
        "Pacific/Chatham",
        ("2026-04-05T03:45", "2026-04-05T02:45", 13.75),
        ("2026-09-27T02:45", "2026-09-27T03:45", 12.75),
    ),
)
#: Times of day that some of the changes skip or repeat, and some that none does.
TIMES: Final[tuple[time, ...]] = tuple(
    map(time.fromisoformat, ["00:00", "00:30", "01:45", "02:15", "02:30", "03:15", "09:00", "23:30"])
)
