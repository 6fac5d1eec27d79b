"""How often a mailbox is registered for events from their pages (S-9.10).

Writes public_count. What counts is mail that was ordered: who has registered costs nothing, however often they press.
Whoever is known by more than what was typed counts by their own address, so that nobody's tags or dots use up what is
theirs. Of anybody else's mailbox at most so many mails stay unanswered, over all events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from campaigns.events.registering import Attendee, Placed
from core.addresses import parse_address
from core.errors import AddressError
from core.form_settings import PageLimits
from core.ids import address_key
from core.schema import customer, public_count, registration
from web.limits import REGISTRATION, answered, limit_key, lock_mailbox

_LONG: Final = timedelta(days=400)
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody whose mailbox may be written to once more."""

    attendee: Attendee
    key: UUID
    folded: UUID  # of all spellings of the mailbox
    is_proven: bool

    @property
    def name(self) -> str:
        """What their mails count for."""
        return f"{REGISTRATION}|{self.key if self.is_proven else self.folded}"


def admitted(
    connection: Connection, secret: bytes, attendees: Sequence[Attendee], limits: PageLimits, now: datetime
) -> tuple[Admitted, ...]:
    """Those whose mailboxes were not written to too often. They are locked until the transaction ends."""
    keys = {address_key(secret, one.address.comparable): one for one in attendees}
    proven = _proven(connection, keys)
    asked = [Admitted(one, key, limit_key(secret, one.address), key in proven) for key, one in keys.items()]
    for folded in sorted({one.folded for one in asked}):  # in one order, so that two forms never wait for each other
        lock_mailbox(connection, folded)
    room: dict[str, int] = {}
    found = []
    for one in asked:
        if one.name not in room:
            room[one.name] = _room(connection, one, limits, now)
        room[one.name] -= 1
        if room[one.name] >= 0:
            found.append(one)
    return tuple(found)


def remember(
    connection: Connection, those: Iterable[Admitted], placed: Iterable[Placed], limits: PageLimits, now: datetime
) -> None:
    """The mails that were ordered for them are counted. Call under the locks of `admitted`."""
    numbers = [one.registration_id for one in placed if one.is_new]
    mailed = set(connection.execute(select(registration.c.address_key).where(registration.c.id.in_(numbers))).scalars())
    for one in those:
        if one.key not in mailed:
            continue
        connection.execute(_ADD, {"key": one.name, "period": now, "forget_at": now + limits.mail_every})
        if not one.is_proven:
            given = {"key": _unanswered(one.folded), "period": _EVER, "forget_at": now + _LONG}
            connection.execute(_ADD, given)


def acted(connection: Connection, secret: bytes, registration_id: int) -> None:
    """Somebody reads the mailbox a registration's mails go to: what was mailed there before counts no more."""
    same = (registration.c.customer_id == customer.c.id) & (registration.c.address_key == customer.c.address_key)
    query = select(customer.c.email).join(registration, same).where(registration.c.id == registration_id)
    email = connection.execute(query).scalar_one_or_none()
    try:
        key = limit_key(secret, parse_address(email)) if email is not None else None
    except AddressError:
        return
    if key is not None:
        answered(connection, key)


#: Sources that begin so say where somebody typed an address.
_PROVEN: Final = text("""
    SELECT DISTINCT address_key FROM customer
    WHERE address_key = ANY(CAST(:keys AS uuid[])) AND (
        coalesce(source, '') !~ '^(form|inquiry):'
        OR EXISTS (SELECT FROM consent WHERE customer_id = customer.id AND state = 'confirmed')
        OR EXISTS (SELECT FROM purchase WHERE customer_id = customer.id)
        OR EXISTS (SELECT FROM survey_answer WHERE customer_id = customer.id)
        OR EXISTS (
            SELECT FROM registration r WHERE r.customer_id = customer.id AND r.address_key = customer.address_key
            AND r.checked_in_at IS NOT NULL
        )
    )
""")


def _proven(connection: Connection, keys: Iterable[UUID]) -> set[UUID]:
    """Whose customers are known by more than what anybody typed on a page."""
    return set(connection.execute(_PROVEN, {"keys": [str(key) for key in keys]}).scalars())


def _room(connection: Connection, one: Admitted, limits: PageLimits, now: datetime) -> int:
    counted = public_count.c
    total = select(func.coalesce(func.sum(counted.count), 0))
    recent = total.where(counted.key == one.name, counted.period > now - limits.mail_every)
    room = limits.registrations - int(connection.execute(recent).scalar_one())
    if one.is_proven:
        return room
    ever = total.where(counted.key == _unanswered(one.folded), counted.forget_at > now)
    return min(room, limits.unanswered - int(connection.execute(ever).scalar_one()))


_ADD: Final = text("""
    INSERT INTO public_count (key, period, count, forget_at) VALUES (:key, :period, 1, :forget_at)
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1, forget_at = excluded.forget_at
""")


def _unanswered(key: UUID) -> str:
    return f"unanswered:{REGISTRATION}|{key}"
