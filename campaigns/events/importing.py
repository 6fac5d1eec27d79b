"""Lists of registrations from files: each row is somebody who is to come, registered as staff would do it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from campaigns.duty import Circumstances
from campaigns.events.definition import EventFile
from campaigns.events.held import event_of
from campaigns.events.registering import Answer, Attendee, Order, Registered, Source, register
from core.addresses import Address, parse_address
from core.errors import AddressError, ImportFailed
from customers.joining import FIELDS
from customers.readers.tables import Table, open_table

#: Columns that are no fields of the event.
_EMAIL: Final = "email"
_LANGUAGE: Final = "language"
MOST_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not registered, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the rows: `confirmed`, `waiting`, `known` (registered before), `refused`."""

    counts: Mapping[str, int]
    refused: tuple[Refused, ...]


def import_file(
    connection: Connection, circumstances: Circumstances, event: str, path: Path, now: datetime
) -> Imported:
    """Everybody whom the file lists is registered, in its order. Columns: `email`, `language`, first and last name,
    company, and the fields of the event. Repeat: safe, they are known then.

    Raises:
        NotFound: there is no such event.
        ImportFailed: the file cannot be read, or has no column `email`.
    """
    held, table = event_of(connection, event), open_table(path)
    if _EMAIL not in table.header:
        raise ImportFailed(f"no column 'email' (got {', '.join(table.header)})", where=str(path))
    counts: Counter[str] = Counter()
    refused: list[Refused] = []
    for line, attendee in _attendees(table, held.definition):
        if isinstance(attendee, str):
            refused.append(Refused(line, attendee))
            continue
        order = Order((attendee,), Source.IMPORT, f"import:{attendee.address.comparable}"[:200])
        done = register(connection, circumstances, event, order, now)
        counts[_outcome(done)] += done.answer is Answer.RECEIVED
        if done.answer is not Answer.RECEIVED:
            refused.append(Refused(line, f"the event is {done.answer.value}"))
    counts["refused"] = len(refused)
    return Imported({name: counts[name] for name in ("confirmed", "waiting", "known", "refused")}, tuple(refused))


def _outcome(done: Registered) -> str:
    if not done.placed or not done.placed[0].is_new:
        return "known"
    return done.placed[0].seat.value


def _attendees(table: Table, definition: EventFile) -> Iterator[tuple[int, Attendee | str]]:
    """Each row's attendee, or what is wrong with it."""
    for count, row in enumerate(table.rows(), 1):
        if count > MOST_ROWS:
            raise ImportFailed(f"too many rows (expected at most {MOST_ROWS:,})", where=str(table.path))
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
    answers = {name: value for name, value in told.items() if name in known and value}
    mistake = next(mistakes(definition, answers), None)
    return mistake or Attendee(address, answers, told.get(_LANGUAGE) or None)


def mistakes(definition: EventFile, answers: Mapping[str, str]) -> Iterator[str]:
    """What the event's fields do not take. What is required of strangers is not required of staff."""
    for name, value in answers.items():
        question = definition.registration.fields.get(name)
        if question is None and name not in FIELDS:
            yield f"the event has no field {name!r}"
        elif question is not None and question.choices and value not in question.choices:
            yield f"{name}: got {value!r}, expected {', '.join(question.choices)}"
        elif question is not None and len(value) > question.longest:
            yield f"{name}: got {len(value)} characters, expected at most {question.longest}"
