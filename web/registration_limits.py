"""How often a mailbox is registered for events from their pages (S-9.10).

Writes public_count. What counts is mail that was ordered: who has registered costs nothing, however often they press.
Whoever is known by more than what was typed counts by their own address, so that nobody's tags or dots use up what is
theirs. Of anybody else's mailbox at most so many mails stay unanswered, over all events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select, text

from campaigns.events.registering import Attendee, Placed
from core.addresses import parse_address
from core.errors import AddressError
from core.form_settings import PageLimits
from core.ids import address_key
from core.mailboxes import count, counted, limit_key, lock_mailbox
from core.schema import customer, registration
from web.limits import REGISTRATION, answered, await_answer, unanswered


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody whose mailbox may be written to once more."""

    attendee: Attendee
    key: UUID
    folded: UUID  # of all spellings of the mailbox
    is_proven: bool

    @property
    def counts_by(self) -> UUID:
        """What their mails count for."""
        return self.key if self.is_proven else self.folded


def admitted(
    connection: Connection, secret: bytes, attendees: Sequence[Attendee], limits: PageLimits, now: datetime
) -> tuple[Admitted, ...]:
    """Those whose mailboxes were not written to too often. They are locked until the transaction ends."""
    keys = {address_key(secret, one.address.comparable): one for one in attendees}
    proven = _proven(connection, keys)
    asked = [Admitted(one, key, limit_key(secret, one.address), key in proven) for key, one in keys.items()]
    for folded in sorted({one.folded for one in asked}):  # in one order, so that two forms never wait for each other
        lock_mailbox(connection, folded)
    room: dict[UUID, int] = {}
    found = []
    for one in asked:
        if one.counts_by not in room:
            room[one.counts_by] = _room(connection, one, limits, now)
        room[one.counts_by] -= 1
        if room[one.counts_by] >= 0:
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
        count(connection, REGISTRATION, one.counts_by, limits.mail_every, now)
        if not one.is_proven:
            await_answer(connection, REGISTRATION, one.folded, now)


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
    room = limits.registrations - counted(connection, REGISTRATION, one.counts_by, limits.mail_every, now)
    if one.is_proven:
        return room
    waiting = unanswered(connection, (REGISTRATION,), one.folded, now)
    return min(room, limits.unanswered - waiting[REGISTRATION])
