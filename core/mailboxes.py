"""Limits on what a mailbox is mailed because of what strangers sent or typed (S-9.10). Writes public_count."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from core import advisory
from core.addresses import Address
from core.ids import keyed_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ADD: Final = """
    INSERT INTO public_count (key, period, count, forget_at) VALUES (:key, :period, 1, :forget_at)
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1
"""
_RECENT: Final = "SELECT coalesce(sum(count), 0) FROM public_count WHERE key = :key AND period > :after"


def limit_key(secret: bytes, address: Address) -> UUID:
    """The key of the mailbox for limits: equal for spellings that many providers take for one, by a tag behind `+` and
    by dots. Good for limits alone: two people may share one."""
    local, _, domain = address.comparable.rpartition("@")
    folded = local.partition("+")[0].replace(".", "")  # nothing is left of `+1@…`: all of these are one
    domain = "gmail.com" if domain == "googlemail.com" else domain
    return UUID(bytes=keyed_hash(secret, "limit-key", f"{folded}@{domain}".encode()))


def lock_mailbox(connection: "Connection", key: UUID) -> None:
    """Nobody else orders mail to this mailbox until the transaction ends.

    Whoever needs several locks takes that of `core.people_lock` before, and that of a customer's address after it.
    """
    advisory.hold(connection, int.from_bytes(key.bytes[:8], "big", signed=True))


def count_for(connection: "Connection", kind: str, key: UUID, most: int, every: timedelta, now: datetime) -> bool:
    """One more of the kind was counted for the mailbox; False: there were `most` within `every`. Call under its lock.

    Repeat: not safe, each call counts.
    """
    if counted(connection, kind, key, every, now) >= most:
        return False
    count(connection, kind, key, every, now)
    return True


def counted(connection: "Connection", kind: str, key: UUID, every: timedelta, now: datetime) -> int:
    """How many of the kind were counted for the mailbox within `every`."""
    from sqlalchemy import text

    found = connection.execute(text(_RECENT), {"key": f"{kind}|{key}", "after": now - every})
    return int(found.scalar_one())


def count(connection: "Connection", kind: str, key: UUID, every: timedelta, now: datetime) -> None:
    """One more of the kind counts for the mailbox, for as long as `every`. Repeat: not safe, each call counts."""
    from sqlalchemy import text

    connection.execute(text(_ADD), {"key": f"{kind}|{key}", "period": now, "forget_at": now + every})
