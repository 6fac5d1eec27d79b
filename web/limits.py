"""What keeps the public pages from being used to flood mailboxes (S-9.9, S-9.10).

Writes public_count. Requests are counted by hour: for their visitor, the network around it, the form, and all forms
together. Mails are remembered by mailbox and time, so that their limit rolls: the second is due a whole day after the
first, not at midnight. How many of them nobody answered is counted for more than a year, whatever is kept of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, text

from core import advisory
from core.addresses import Address
from core.form_settings import PageLimits
from core.ids import keyed_hash
from core.schema import public_count
from web.visitors import neighbourhoods

SIGN_UP: Final = "sign-up"
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


def limit_key(secret: bytes, address: Address) -> UUID:
    """The key of the mailbox for limits: equal for spellings that many providers take for one, by a tag behind `+` and
    by dots. Good for limits alone: two people may share one."""
    local, _, domain = address.comparable.rpartition("@")
    folded = local.partition("+")[0].replace(".", "")  # nothing is left of `+1@…`: all of these are one
    domain = "gmail.com" if domain == "googlemail.com" else domain
    return UUID(bytes=keyed_hash(secret, "limit-key", f"{folded}@{domain}".encode()))


def lock_mailbox(connection: Connection, key: UUID) -> None:
    """Nobody else orders mail to this mailbox until the transaction ends."""
    advisory.hold(connection, int.from_bytes(key.bytes[:8], "big", signed=True))


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
    waiting = select(counted.key, counted.count).where(
        counted.key.in_([_unanswered(one, key) for one in KINDS]), counted.forget_at > now
    )
    unanswered: dict[str, int] = {key: number for key, number in connection.execute(waiting)}  # noqa: C416  rows
    of_kind = unanswered.get(_unanswered(kind, key), 0)
    return sum(unanswered.values()) < limits.unanswered and (kind != SIGN_UP or of_kind < limits.unconfirmed)


def remember_mail(connection: Connection, kind: str, key: UUID, every: timedelta, now: datetime) -> None:
    """A mail of this kind was ordered for the mailbox. Call under its lock."""
    values = {"key": _mail(kind, key), "period": now, "count": 1, "forget_at": now + every}
    connection.execute(insert(public_count).values(**values))
    given = {"key": _unanswered(kind, key), "period": _EVER, "forget_at": now + _LONG}
    connection.execute(_ADD, given)


def answered(connection: Connection, key: UUID) -> None:
    """Somebody reads this mailbox, and acts on what comes: what was mailed there before counts no more."""
    keys = [_unanswered(kind, key) for kind in KINDS]
    connection.execute(delete(public_count).where(public_count.c.key.in_(keys)))


def count_for(connection: Connection, kind: str, key: UUID, most: int, every: timedelta, now: datetime) -> bool:
    """One more of the kind was counted for the mailbox; False: there were `most` within `every`. Call under its lock.

    Repeat: not safe, each call counts.
    """
    name = f"{kind}|{key}"
    recent = select(func.coalesce(func.sum(public_count.c.count), 0))
    counted = recent.where(public_count.c.key == name, public_count.c.period > now - every)
    if int(connection.execute(counted).scalar_one()) >= most:
        return False
    connection.execute(_COUNT, {"key": name, "period": now, "forget_at": now + every})
    return True


def _mail(kind: str, key: UUID) -> str:
    return f"mail:{kind}|{key}"


def _unanswered(kind: str, key: UUID) -> str:
    return f"unanswered:{kind}|{key}"
