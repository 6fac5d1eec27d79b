"""Lists of registrations from files: each row is somebody who is to come, registered as staff would do it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from campaigns.duty import Circumstances
from campaigns.events import seats
from campaigns.events.answers import read
from campaigns.events.definition import EventFile
from campaigns.events.held import event_of
from campaigns.events.registering import Answer, Attendee, Order, Source, hold, may_come, register, registered
from campaigns.events.states import Seat
from core import audit
from core.addresses import Address, parse_address
from core.database import Database
from core.errors import AddressError, ImportFailed
from core.ids import AddressKey, address_key
from core.schema import customer, erasure
from customers.importing.fields import left_out
from customers.joining import FIELDS
from customers.readers.tables import Table, open_table

#: Columns that are no fields of the event.
_EMAIL: Final = "email"
_LANGUAGE: Final = "language"
MOST_ROWS: Final = 100_000
#: Rows of one transaction: so long the event is locked, a second at the most.
_PIECE: Final = 100
#: Why somebody's registration ended by their own wish: a list does not overrule it.
_THEIR_WISH: Final = frozenset({"withdrawn", "declined", "declined_in_calendar", "staff"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not registered, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that can be read."""

    line: int
    attendee: Attendee
    key: AddressKey


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the rows: `confirmed`, `waiting`, `known` (registered before), `refused`.

    `remarks`: what the person should know about how the file was understood.
    """

    counts: Mapping[str, int]
    refused: tuple[Refused, ...]
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    """What became of the rows so far."""

    again: bool
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    remarks: tuple[str, ...] = ()

    def fit(self, rows: Iterable[_Row], known: Mapping[AddressKey, Row[Any]]) -> Iterator[_Row]:
        """Those of the rows whose people may be registered; the others are refused."""
        for row in rows:
            before = known.get(row.key)
            if before is not None and before.cancelled_because in _THEIR_WISH and not self.again:
                since = f"{before.cancelled_at:%Y-%m-%d}"
                self.refused.append(Refused(row.line, f"they withdrew on {since} (--again registers them anew)"))
            else:
                yield row

    def add(self, line: int, answer: Answer, outcome: str) -> None:
        if answer is Answer.RECEIVED:
            self.counts[outcome] += 1
        else:
            self.refused.append(Refused(line, f"the event is {answer.value}"))

    def done(self) -> Imported:
        counts = self.counts | Counter(refused=len(self.refused))
        named = {name: counts[name] for name in ("confirmed", "waiting", "known", "refused")}
        return Imported(named, tuple(sorted(self.refused, key=lambda one: one.line)), self.remarks)


def import_file(
    database: Database, circumstances: Circumstances, event: str, path: Path, now: datetime,
    *, actor: str, again: bool = False,
) -> Imported:  # fmt: skip
    """Everybody whom the file lists is registered, in its order. Columns: `email`, `language`, first and last name,
    company, and the fields of the event. With `again` also those who had withdrawn.

    A piece at a time: pages give seats meanwhile. Repeat: safe, they are known then; also after it was cut off.

    Raises:
        NotFound: there is no such event.
        ImportFailed: the file cannot be read, or has no column `email`.
    """
    with database.begin() as connection:
        definition = event_of(connection, event).definition
    tally = _Tally(again)
    try:
        for piece in _pieces(_rows(path, definition, circumstances, tally)):
            with database.begin() as connection:
                _take(connection, circumstances, event, piece, tally, now)
    finally:
        with database.begin() as connection:
            audit.record(connection, actor, "event.import", f"event:{event}", at=now, **tally.done().counts)
    return tally.done()


def _take(
    connection: Connection, circumstances: Circumstances, event: str, piece: Sequence[_Row], tally: _Tally,
    now: datetime,
) -> None:  # fmt: skip
    held = hold(connection, event, (row.key for row in piece))
    for row in tally.fit(piece, registered(connection, held, [row.key for row in piece])):
        order = Order((row.attendee,), Source.IMPORT, f"import:{row.attendee.address.comparable}"[:200])
        done = register(connection, circumstances, event, order, now)
        is_new = bool(done.placed) and done.placed[0].is_new
        tally.add(row.line, done.answer, done.placed[0].seat.value if is_new else "known")


def foreseen(
    connection: Connection, circumstances: Circumstances, event: str, path: Path, now: datetime, *, again: bool = False
) -> Imported:
    """What `import_file` would come to as things stand; nothing is written, and nobody waits for it."""
    held = event_of(connection, event)
    counts, tally, seen = seats.count(connection, held), _Tally(again), set[AddressKey]()
    for piece in _pieces(_rows(path, held.definition, circumstances, tally)):
        known = registered(connection, held, [row.key for row in piece])
        erased = _erased(connection, [row.key for row in piece])
        for row in tally.fit(piece, known):
            before = known.get(row.key)
            has_place = before is not None and before.state != Seat.CANCELLED
            answer = may_come(held, Source.IMPORT, counts, 1, now)
            if has_place or row.key in seen | erased or answer is not Answer.RECEIVED:
                tally.add(row.line, Answer.RECEIVED if has_place or row.key in seen else answer, "known")
                continue
            seen.add(row.key)
            seat = Seat.CONFIRMED if counts.open_seats > 0 else Seat.WAITING
            tally.add(row.line, answer, seat)
            counts = replace(counts, **{seat: getattr(counts, seat) + 1})
    return tally.done()


def _erased(connection: Connection, keys: Sequence[AddressKey]) -> set[AddressKey]:
    """Those of the addresses whose people had themselves erased, and did not come back."""
    gone = select(erasure.c.address_key).where(erasure.c.address_key.in_(keys), erasure.c.readmitted_at.is_(None))
    here = select(customer.c.id).where(customer.c.address_key == erasure.c.address_key).exists()
    return set(connection.execute(gone.where(~here)).scalars())


def _rows(path: Path, definition: EventFile, circumstances: Circumstances, tally: _Tally) -> Iterator[_Row]:
    """Those of the file's rows that can be read; the others are refused."""
    table = open_table(path)
    if _EMAIL not in table.header:
        raise ImportFailed(f"no column 'email' (got {', '.join(table.header)})", where=str(path))
    if sum(1 for _ in open_table(path).rows()) > MOST_ROWS:
        raise ImportFailed(f"too many rows (expected at most {MOST_ROWS:,})", where=str(path))
    known = _columns(definition)
    free = [name for name in known if name not in table.header]
    tally.remarks = left_out((name for name in table.header if name not in known), "the event has", free)
    secret = circumstances.workspace.secret
    for line, attendee in _attendees(table, definition):
        if isinstance(attendee, str):
            tally.refused.append(Refused(line, attendee))
        else:
            yield _Row(line, attendee, address_key(secret, attendee.address.comparable))


def _columns(definition: EventFile) -> tuple[str, ...]:
    """The columns a list may have."""
    return (_EMAIL, _LANGUAGE, *FIELDS, *definition.registration.fields)


def _pieces(rows: Iterator[_Row]) -> Iterator[Sequence[_Row]]:
    while piece := list(islice(rows, _PIECE)):
        yield piece


def _attendees(table: Table, definition: EventFile) -> Iterator[tuple[int, Attendee | str]]:
    """Each row's attendee, or what is wrong with it."""
    for row in table.rows():
        if row.fault:
            yield row.number, row.fault
            continue
        told = {name: cell.strip() for name, cell in zip(table.header, row.cells, strict=True)}
        yield row.number, _attendee(told, definition)


def _attendee(told: Mapping[str, str], definition: EventFile) -> Attendee | str:
    try:
        address: Address = parse_address(told.get(_EMAIL, ""))
    except AddressError as error:
        return error.message
    known = {*definition.registration.fields, *FIELDS}
    columns = {name: value for name, value in told.items() if name in known}
    answers, mistakes = read(definition, columns, is_asked=False)
    return "; ".join(map(str, mistakes)) or Attendee(address, answers, told.get(_LANGUAGE) or None)
