"""Registering for events: the one way in for pages, the API, files and staff.

Every function works within the transaction it is given, takes the event row's lock, and orders its mails in the same
transaction. The answer to a stranger says the same whether an address is registered or not (S-7.14).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from campaigns.duty import Circumstances
from campaigns.events import activities, mails, seats
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.states import Seat
from core import advisory
from core.addresses import Address
from core.errors import PlanError, UsageError
from core.ids import AddressKey, address_key, keyed_hash
from core.people_lock import people_stay
from core.schema import registration
from customers.joining import customer_at, fill_in

_LONGEST_PARTY: Final = 200


class Source(StrEnum):
    """Where an order came from."""

    PAGE = "page"  #: anybody may have typed it: names in it are nobody's until the mailbox has answered
    API = "api"
    IMPORT = "import"
    OPERATOR = "operator"


class Answer(StrEnum):
    """What whoever sent an order may be told: it depends on the event and the order, never on who is registered."""

    RECEIVED = "received"  #: a mail says what became of it
    FULL = "full"  #: there are not so many seats, and no waiting list; nothing is kept
    NOT_YET = "not_yet"  #: registration has not begun
    CLOSED = "closed"  #: registration is over, or the event does not take place


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who is to come. `answers`: by the names of the event's fields; `first_name` and so on are among them."""

    address: Address
    answers: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One form sent, one call, one line of a file.

    `party` tells the order from every other of its event: the form's token, or the caller's key. The same party twice
    is the same order. `registrant`: who registers the others and does not come; None: the first attendee. `content`: a
    digest of what is ordered, where a caller may give one key to two orders; the second is refused.
    """

    attendees: tuple[Attendee, ...]
    source: Source
    party: str
    registrant: Attendee | None = None
    content: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """What one attendee has. For staff and programs that may know; not for a stranger."""

    registration_id: int
    customer_id: int
    seat: Seat
    is_new: bool  # False: they had registered before


@dataclass(frozen=True, slots=True)
class Registered:
    """What an order came to. A stranger is told the `answer` alone."""

    answer: Answer
    placed: tuple[Placed, ...] = ()  # without those who were erased and are not to be kept


def register(
    connection: Connection, circumstances: Circumstances, event: str, order: Order, now: datetime
) -> Registered:
    """Each attendee who had not registered has a seat or a place on the waiting list, and a mail that says so.

    Seats go to the attendees in their order. Staff and files may register while the form is closed, until the event
    ends. Repeat: safe, also at the same time: one registration, one mail, and for the same party the same answer.

    Raises:
        NotFound: there is no such event.
        UsageError: the order has no attendees, too many of them, the same one twice, or an unfit party.
        PlanError: the party is that of an order of other content.
    """
    secret = circumstances.workspace.secret
    keys = {address_key(secret, one.address.comparable): one for one in order.attendees}
    everybody = [*order.attendees, *([order.registrant] if order.registrant else [])]
    held = hold(connection, event, (address_key(secret, one.address.comparable) for one in everybody))
    _check(held, order, len(keys))
    if _is_known(connection, held, order):
        return Registered(Answer.RECEIVED, _as_they_are(connection, held, keys))
    counts = seats.count(connection, held)
    answer = may_come(held, order.source, counts, len(order.attendees), now)
    if answer is not Answer.RECEIVED:
        return Registered(answer)
    work = _Order(connection, circumstances, held, order, now, counts.open_seats)
    return Registered(answer, work.placed(keys))


def hold(connection: Connection, event: str, keys: Iterable[AddressKey]) -> HeldEvent:
    """The event; until the transaction ends nobody else registers at these addresses, nor gives or takes its seats.

    The addresses first, in order, then the event: two who hold several never wait for each other.
    """
    people_stay(connection)
    for key in sorted(set(keys)):
        advisory.hold(connection, f"address:{key}")
    return lock_event(connection, event)


def answer_now(connection: Connection, held: HeldEvent, now: datetime) -> Answer:
    """What one who comes now would be answered on a page; not binding. For pages that show a form, or why not."""
    return may_come(held, Source.PAGE, seats.count(connection, held), 1, now)


def _check(held: HeldEvent, order: Order, distinct: int) -> None:
    most = held.definition.registration.attendees
    if not 1 <= len(order.attendees) <= most:
        raise UsageError(f"{held.name}: got {len(order.attendees)} attendees, expected 1 to {most}")
    if distinct < len(order.attendees):
        raise UsageError(f"{held.name}: the same address is given for two attendees")
    if not order.party.strip() or len(_party(order)) > _LONGEST_PARTY or not order.party.isprintable():
        raise UsageError(f"{held.name}: the key of the order is not 1 to {_LONGEST_PARTY} printable characters")


def may_come(held: HeldEvent, source: Source, counts: seats.Counts, heads: int, now: datetime) -> Answer:
    """What an order of so many is answered, as the seats stand."""
    opens, closes = held.window
    if source in (Source.OPERATOR, Source.IMPORT):
        opens, closes = None, held.ends_at
    if held.state != "open" or now >= closes:
        return Answer.CLOSED
    if opens is not None and now < opens:
        return Answer.NOT_YET
    if held.definition.waiting_list is None and counts.open_seats < heads:
        return Answer.FULL
    return Answer.RECEIVED


def _party(order: Order) -> str:
    """What is kept of the order's name: its content stands behind it."""
    return f"{order.party}:{order.content}" if order.content else order.party


def _is_known(connection: Connection, held: HeldEvent, order: Order) -> bool:
    """Whether the order came before.

    Raises:
        PlanError: one of its party did, with other content.
    """
    party, kept = _party(order), registration.c.party
    named = kept == party
    if order.content:  # all digests are of one length: no other name fits
        named = kept.startswith(f"{order.party}:", autoescape=True) & (func.length(kept) == len(party))
    found = set(connection.execute(select(kept).where(registration.c.event == held.name, named)).scalars())
    if found - {party}:
        raise PlanError(
            f"{held.name}: the key was used for another order", hint="give every order a key of its own"
        )  # fmt: skip
    return party in found


def _as_they_are(
    connection: Connection, held: HeldEvent, keys: Mapping[AddressKey, Attendee]
) -> tuple[Placed, ...]:  # fmt: skip
    known = registered(connection, held, keys)
    rows = [known[key] for key in keys if key in known]
    return tuple(Placed(row.id, row.customer_id, Seat(row.state), is_new=False) for row in rows)


def registered(
    connection: Connection, held: HeldEvent, keys: Collection[AddressKey]
) -> dict[AddressKey, Row[Any]]:  # fmt: skip
    """The registrations at these addresses: of several of one address the one that is in force, else the newest."""
    mine = (registration.c.event == held.name) & registration.c.address_key.in_(keys)
    ended = registration.c.state == Seat.CANCELLED
    rows = connection.execute(select(registration).where(mine).order_by(ended.desc(), registration.c.id))
    return {row.address_key: row for row in rows}


@dataclass(slots=True)
class _Order:
    """One order on its way into seats. `open_seats` goes down with each that is given."""

    connection: Connection
    circumstances: Circumstances
    held: HeldEvent
    order: Order
    now: datetime
    open_seats: int

    def placed(self, keys: Mapping[AddressKey, Attendee]) -> tuple[Placed, ...]:
        """Every attendee in their order; the mails are ordered and what happened is on record."""
        known = registered(self.connection, self.held, keys)
        by = self._registrant(known)
        found: dict[AddressKey, Placed] = {}
        rows: list[Row[Any]] = []
        for key, attendee in keys.items():
            before = known.get(key)
            if before is not None and before.state != Seat.CANCELLED:
                found[key] = Placed(before.id, before.customer_id, Seat(before.state), is_new=False)
                continue
            customer_id = by if attendee is self._giver else self._customer(attendee, key)
            if customer_id is None:
                continue  # erased, and not to be kept
            row = self._written(attendee, key, customer_id, by, before)
            rows.append(row)
            found[key] = Placed(row.id, customer_id, Seat(row.state), is_new=True)
        self._told(rows, self._party(keys, found, by) if rows or self._is_typed else None)
        return tuple(found.values())

    @property
    def _is_typed(self) -> bool:
        """Whether anybody may have given the order, in anybody's name."""
        return self.order.source is Source.PAGE

    def _registrant(self, known: Mapping[AddressKey, Row[Any]]) -> int | None:
        """The customer who gave the order; None: they were erased, and nobody else hears of it in their place."""
        key = address_key(self.circumstances.workspace.secret, self._giver.address.comparable)
        before = known.get(key)
        if before is not None and before.state != Seat.CANCELLED:
            return int(before.customer_id)
        return self._customer(self._giver, key)

    @property
    def _giver(self) -> Attendee:
        return self.order.registrant or self.order.attendees[0]

    def _party(
        self, keys: Mapping[AddressKey, Attendee], found: Mapping[AddressKey, Placed], by: int | None
    ) -> mails.Party | None:
        """The others, for who registered them. Of a page's order they hear the addresses that were typed, all of them:
        neither their number nor their seats tell who had registered (S-7.14); and no names (S-9.10)."""
        if by is None:
            return None
        others = [(key, one) for key, one in keys.items() if one.address.comparable != self._giver.address.comparable]
        told = tuple(
            {"email": one.address.email, "seat": "" if self._is_typed else found[key].seat.value}
            for key, one in others
            if self._is_typed or key in found
        )
        digest = keyed_hash(self.circumstances.workspace.secret, "party", _party(self.order).encode()).hex()
        return mails.Party(by, told, digest, self._giver.language)

    def _customer(self, attendee: Attendee, key: AddressKey) -> int | None:
        """The number of the attendee's customer. What a stranger typed about them is not theirs yet (S-9.10)."""
        source = f"{'form:' if self._is_typed else ''}event:{self.held.name}"
        customer_id = customer_at(
            self.connection, attendee.address, key, language=attendee.language, source=source, now=self.now
        )
        if customer_id is not None and not self._is_typed:
            fill_in(self.connection, customer_id, attendee.answers, self.now)
        return customer_id

    def _written(
        self, attendee: Attendee, key: AddressKey, customer_id: int, by: int | None, before: Row[Any] | None
    ) -> Row[Any]:
        """The row of the registration. Who had cancelled keeps the calendar entry they had (S-7.2)."""
        has_seat = self.open_seats > 0
        self.open_seats -= has_seat
        seat = Seat.CONFIRMED if has_seat else Seat.WAITING
        values = {
            "customer_id": customer_id, "registrant_id": None if by == customer_id else by, "state": seat,
            "party": _party(self.order), "source": self.order.source, "language": attendee.language,
            "answers": dict(attendee.answers), "registered_at": self.now,
            "waiting_since": None if has_seat else self.now, "confirmed_at": self.now if has_seat else None,
            "event_revision": self.held.revision, "offered_until": None, "cancelled_at": None,
            "cancelled_because": None, "checked_in_at": None,
        }  # fmt: skip
        if before is None:
            fixed = {"event": self.held.name, "address_key": key, "uid": self._uid(key)}
            statement: Any = insert(registration).values(**fixed, **values)
        else:
            statement = update(registration).where(registration.c.id == before.id).values(**values)
        row = self.connection.execute(statement.returning(registration)).one()
        was = None if before is None else Seat.CANCELLED
        seats.record(self.connection, {row.id: was}, seat, "registered", self.now)
        return row

    def _uid(self, key: AddressKey) -> str:
        """The same for the same address and event, always; tells nothing of either."""
        secret = self.circumstances.workspace.secret
        token = keyed_hash(secret, "calendar-uid", f"{self.held.name}|{key}".encode()).hex()
        return f"{token}@{self.held.organiser_email.rpartition('@')[2]}"

    def _told(self, rows: list[Row[Any]], party: mails.Party | None) -> None:
        mails.Post(self.connection, self.circumstances, self.held, self.now).placed(rows, party)
        activities.record(self.connection, self.held, rows, "event_registered", self.now)
