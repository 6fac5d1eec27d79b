"""What keeps the public pages from being used to flood mailboxes (S-9.9, S-9.10).

Writes public_count. Requests are counted by hour: for their visitor, the network around it, the form, and all forms
together. Mails are remembered by mailbox and time, so that their limit rolls: the second is due a whole day after the
first, not at midnight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, text

from core.addresses import Address
from core.form_settings import PageLimits
from core.ids import keyed_hash
from core.schema import public_count
from web.visitors import neighbourhoods

_HOUR: Final = timedelta(hours=1)
_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many requests an hour."""

    key: str
    most: int


def limits_of(limits: PageLimits, form: str, visitor: str | None) -> list[Limit]:
    """The limits that bind a request to `form` by this visitor."""
    near, far = neighbourhoods(visitor)
    return [
        Limit(f"visitor:{near}", limits.visitor_per_hour),
        Limit(f"network:{far}", limits.network_per_hour),
        Limit(f"form:{form}", limits.form_per_hour),
        Limit(_ALL, limits.all_per_hour),
    ]


_COUNT: Final = text("""
    INSERT INTO public_count (key, period, count, forget_at)
    SELECT key, :period, 1, :forget_at FROM unnest(CAST(:keys AS text[])) AS key ORDER BY key
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1
    RETURNING key, count
""")


def is_within(connection: Connection, limits: Sequence[Limit], now: datetime) -> bool:
    """One more request was counted for each limit; False: one of them is exceeded, and the request is to be refused.

    Refused requests count too. To be committed either way. Repeat: not safe, each call counts.
    """
    period = now.replace(minute=0, second=0, microsecond=0)
    given = {"keys": [limit.key for limit in limits], "period": period, "forget_at": period + _HOUR}
    counted: dict[str, int] = {key: number for key, number in connection.execute(_COUNT, given)}  # noqa: C416  rows
    if counted.get(_ALL) == 1:  # the first of an hour tidies up
        forget(connection, now)
    return all(counted[limit.key] <= limit.most for limit in limits)


def forget(connection: Connection, now: datetime) -> int:
    """What no limit looks at any more is gone; how many rows is returned. Repeat: safe."""
    return connection.execute(delete(public_count).where(public_count.c.forget_at <= now)).rowcount


def limit_key(secret: bytes, address: Address) -> UUID:
    """The key of the mailbox for limits: equal for spellings that many providers take for one, by a tag behind `+` and
    by dots. Good for limits alone: two people may share one."""
    local, _, domain = address.comparable.rpartition("@")
    folded = local.partition("+")[0].replace(".", "") or local
    domain = "gmail.com" if domain == "googlemail.com" else domain
    return UUID(bytes=keyed_hash(secret, "limit-key", f"{folded}@{domain}".encode()))


def lock_mailbox(connection: Connection, key: UUID) -> None:
    """Nobody else orders mail to this mailbox until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(key.bytes[:8], "big", signed=True))))


def may_mail(connection: Connection, kind: str, key: UUID, every: timedelta, now: datetime) -> bool:
    """Whether no mail of this kind was ordered for the mailbox within `every` before `now`. Call under its lock."""
    counted = public_count.c
    recent = select(counted.key).where(counted.key == _mail(kind, key), counted.period > now - every).limit(1)
    return connection.execute(recent).first() is None


def remember_mail(connection: Connection, kind: str, key: UUID, every: timedelta, now: datetime) -> None:
    """A mail of this kind was ordered for the mailbox. Call under its lock."""
    values = {"key": _mail(kind, key), "period": now, "count": 1, "forget_at": now + every}
    connection.execute(insert(public_count).values(**values))


def _mail(kind: str, key: UUID) -> str:
    return f"mail:{kind}|{key}"
