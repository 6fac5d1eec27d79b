"""What keeps the public pages from being used to flood mailboxes (S-9.9, S-9.10).

Writes public_count. Requests are counted by hour: for their visitor, the network around it, the form, and all forms
together. Mails are remembered by mailbox and time, so that their limit rolls: the second is due a whole day after the
first, not at midnight. How many of them nobody answered is counted for more than a year, whatever is kept of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, text

from core.form_settings import PageLimits
from core.schema import public_count
from web.visitors import neighbourhoods

SIGN_UP: Final = "sign-up"
REGISTRATION: Final = "registration"  # counted by themselves (`web.registration_limits`)
#: What is mailed to whoever a form names.
KINDS: Final = (SIGN_UP, "preferences", "export", "erase")
_HOUR: Final = timedelta(hours=1)
#: How long unanswered mails are counted after the last: far longer than what was entered is kept.
_LONG: Final = timedelta(days=400)
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many requests an hour."""

    key: str
    most: int


def limits_of(limits: PageLimits, form: str, visitor: str | None, per_hour: int | None = None) -> list[Limit]:
    """The limits that bind a request to `form` by this visitor, the nearest first.

    `per_hour`: what the form's own file allows it, whatever is sent to the others.
    """
    near, far = neighbourhoods(visitor)
    own = [Limit(f"form:{form}", limits.form_per_hour), Limit(_ALL, limits.all_per_hour)]
    return [
        Limit(f"visitor:{near}", limits.visitor_per_hour),
        Limit(f"network:{far}", limits.network_per_hour),
        *(own if per_hour is None else [Limit(f"form:{form}", per_hour)]),
    ]


_COUNT: Final = text("""
    INSERT INTO public_count (key, period, count, forget_at) VALUES (:key, :period, 1, :forget_at)
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1
    RETURNING count
""")
_ADD: Final = text("""
    INSERT INTO public_count (key, period, count, forget_at) VALUES (:key, :period, 1, :forget_at)
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1, forget_at = excluded.forget_at
""")


def is_within(connection: Connection, limits: Sequence[Limit], now: datetime) -> bool:
    """One more request was counted for each limit, in their order; False: one of them is exceeded, and the request is
    to be refused.

    What one limit refuses counts for none behind it: a single visitor uses up nobody else's. To be committed either
    way. Repeat: not safe, each call counts.
    """
    period = now.replace(minute=0, second=0, microsecond=0)
    for limit in limits:
        given = {"key": limit.key, "period": period, "forget_at": period + _HOUR}
        counted = connection.execute(_COUNT, given).scalar_one()
        if limit.key == _ALL and counted == 1:  # the first of an hour tidies up
            forget(connection, now)
        if counted > limit.most:
            return False
    return True


def forget(connection: Connection, now: datetime) -> int:
    """What no limit looks at any more is gone; how many rows is returned. Repeat: safe."""
    return connection.execute(delete(public_count).where(public_count.c.forget_at <= now)).rowcount


def may_mail(connection: Connection, kind: str, key: UUID, limits: PageLimits, now: datetime) -> bool:
    """Whether one more mail of this kind may be ordered for the mailbox: none of the kind was within `mail_every`,
    not too many of all kinds, and not too many at all that nobody answered. Call under its lock."""
    counted, every = public_count.c, limits.mail_every
    recent = select(counted.key).where(
        counted.key.in_([_mail(one, key) for one in KINDS]), counted.period > now - every
    )
    found = list(connection.execute(recent).scalars())
    if _mail(kind, key) in found or len(found) >= limits.mails:
        return False
    waiting = unanswered(connection, KINDS, key, now)
    return sum(waiting.values()) < limits.unanswered and (kind != SIGN_UP or waiting[kind] < limits.unconfirmed)


def remember_mail(connection: Connection, kind: str, key: UUID, every: timedelta, now: datetime) -> None:
    """A mail of this kind was ordered for the mailbox. Call under its lock."""
    values = {"key": _mail(kind, key), "period": now, "count": 1, "forget_at": now + every}
    connection.execute(insert(public_count).values(**values))
    await_answer(connection, kind, key, now)


def unanswered(connection: Connection, kinds: Iterable[str], key: UUID, now: datetime) -> dict[str, int]:
    """How many mails of each of the kinds wait for somebody who reads the mailbox."""
    counted, names = public_count.c, {_unanswered(kind, key): kind for kind in kinds}
    query = select(counted.key, counted.count).where(counted.key.in_(list(names)), counted.forget_at > now)
    return dict.fromkeys(names.values(), 0) | {names[name]: number for name, number in connection.execute(query)}


def await_answer(connection: Connection, kind: str, key: UUID, now: datetime) -> None:
    """One more mail of the kind waits for somebody who reads the mailbox. Repeat: not safe, each call counts."""
    connection.execute(_ADD, {"key": _unanswered(kind, key), "period": _EVER, "forget_at": now + _LONG})


def answered(connection: Connection, key: UUID) -> None:
    """Somebody reads this mailbox, and acts on what comes: what was mailed there before counts no more."""
    keys = [_unanswered(kind, key) for kind in (*KINDS, REGISTRATION)]
    connection.execute(delete(public_count).where(public_count.c.key.in_(keys)))


def _mail(kind: str, key: UUID) -> str:
    return f"mail:{kind}|{key}"


def _unanswered(kind: str, key: UUID) -> str:
    return f"unanswered:{kind}|{key}"
