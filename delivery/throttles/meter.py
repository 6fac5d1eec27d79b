"""The arithmetic of one rate: how many may go now, and when the others. Pure; instants are the database's.

A generic cell rate algorithm (GCRA): `next_at` moves on by one interval for each message, and nothing goes before
it. What comes late makes up for half a second at most; after a longer pause the count begins anew, so that no
burst follows it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

#: How much of a rate is let through at once, in seconds: small enough that no second shows more than its share.
SHARE_S: Final = 0.25
#: How far ahead of its rate an urgent message may go.
BURST: Final = timedelta(seconds=1)
#: How late a message may be to make up for it. Made up for a whole second, five seconds of a rate of 100 saw 115 each.
CATCH_UP: Final = timedelta(seconds=0.5)
#: Messages that wait are cut into shares for this long; what comes after stays together, and asks again.
HORIZON: Final = timedelta(seconds=30)
SHARE: Final = timedelta(seconds=SHARE_S)
#: How much before its turn a share may go whose time had come: others were late by as much, and are in its way. A few
#: messages to a slow domain fit in beside the shares of their transport: the tolerance counts them with what is there.
EARLY: Final = timedelta(seconds=0.1)
#: When those who were promised their time do not use it for this long, others may.
LAG: Final = timedelta(seconds=0.4)
#: When nobody at all came for this long, the times that were given away belong to batches that are gone.
ABANDONED: Final = timedelta(seconds=5)
#: The longest wait for a rate: a queue that is longer asks again, since it may have become shorter meanwhile.
LONGEST_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Meter:
    """One rate and how much of it is used. `booked_until`: until then every instant is promised to a message."""

    per_s: float
    next_at: datetime | None = None
    booked_until: datetime | None = None

    @property
    def share(self) -> int:
        """Messages that are let through at once."""
        return max(1, int(self.per_s * SHARE_S))

    def as_of(self, now: datetime) -> Self:
        """The meter as this rate may have left it. What another rate left, or a clock that was set back since, does not
        keep messages waiting: the promises made with it are void."""
        latest = now + max(BURST, self.length(self.share)) + EARLY
        if self.next_at is None or self.next_at <= latest:
            return self
        return replace(self, next_at=latest, booked_until=None)

    def length(self, count: int) -> timedelta:
        """How long `count` messages take."""
        return timedelta(seconds=count / self.per_s)

    def free(self, now: datetime, *, urgent: bool, booked: bool) -> int:
        """How many may go at `now`. `booked`: their time was given to them before, so they go before newcomers."""
        debt = self.next_at - now if self.next_at is not None else timedelta(0)
        if urgent:
            ahead = int((BURST - max(debt, timedelta(0))) / timedelta(seconds=1) * self.per_s)
            return max(ahead, 1 if debt <= timedelta(0) else 0)
        if booked:
            room = int((SHARE + EARLY - max(debt, timedelta(0))) / timedelta(seconds=1) * self.per_s)
            return min(self.share, max(room, 1 if debt <= EARLY else 0))
        is_promised = debt > -LAG and self._queue_end(now) is not None
        return 0 if debt > timedelta(0) or is_promised else self.share

    def taken(self, count: int, now: datetime) -> Self:
        """The meter after `count` messages went at `now`."""
        return replace(self, next_at=self._begin(now) + self.length(count), booked_until=self._queue_end(now))

    def returned(self, count: int) -> Self:
        """The meter after `count` messages that were taken did not go after all."""
        return self if self.next_at is None else replace(self, next_at=self.next_at - self.length(count))

    def first(self, now: datetime, *, urgent: bool = False) -> datetime:
        """The earliest instant for a message that must wait. An urgent one does not queue behind what is booked."""
        due = self.next_at if self.next_at is not None else now
        if urgent:
            return max(now, due - BURST + self.length(1))
        return max(now, due, min(self._queue_end(now) or now, now + LONGEST_WAIT))

    def booked(self, count: int, begin: datetime, now: datetime) -> Self:
        """The meter after `count` messages were given `begin` as their time."""
        return replace(self, next_at=self._begin(now), booked_until=begin + self.length(count))

    def _begin(self, now: datetime) -> datetime:
        """From when on the next message counts: a little before `now` for who is late, unless nothing went lately."""
        return self.next_at if self.next_at is not None and self.next_at >= now - CATCH_UP else now

    def _queue_end(self, now: datetime) -> datetime | None:
        """Until when every instant is promised; None when none is, or those who had a promise are gone."""
        if self.booked_until is None or self.booked_until <= now:
            return None
        return self.booked_until if self.next_at is not None and self.next_at >= now - ABANDONED else None


def shared_out(total: int, wanted: dict[str, int]) -> dict[str, int]:
    """`total` shared out in proportion to `wanted`, and never more than that; the sum is as large as it can be."""
    heads = sum(wanted.values())
    if heads <= total:
        return dict(wanted)
    given = {name: count * total // heads for name, count in wanted.items()}
    left = total - sum(given.values())
    for name in sorted(wanted, key=lambda name: (-(wanted[name] * total % heads), name))[:left]:
        given[name] += 1
    return given
