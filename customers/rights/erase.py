"""One person is erased: every row about them is removed, or names nobody any more; a keyed hash stays (S-5.13).

The hash is in `erasure`, by which imports refuse the person and a restored database is brought up to date, and in a
suppression of its own, which stops everything else. The rooms keep their promises: the ledger balances as before, and
the figures of campaigns stay as they were (S-5.14).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from core import audit
from core.people_lock import people_go
from core.schema import blocked_digest, customer, customer_address, erasure, inquiry, staff_notice, suppression, task
from customers.identity import find_customer
from customers.importing.refused import external_key
from customers.rights import others as others_rows
from customers.rights import traces
from customers.rights.figures import keep_conversions
from customers.rights.queued import ERASED, skip_waiting
from customers.rights.refusals import keep_refusals
from customers.rights.subject import Circle, Subject, of_keys, subject_named, subject_of
from customers.rights.ties import about, of_inquiries, tied_tables

OPERATOR: Final = "operator"
_WORK: Final = {task: task.c.id, staff_notice: staff_notice.c.notice_key}
_NONE: Final[Mapping[Table, ColumnElement[bool]]] = {}


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did: rows removed or emptied by table, and messages that will not be sent."""

    customers: int
    skipped: int
    removed: Mapping[str, int] = field(default_factory=dict)
    emptied: Mapping[str, int] = field(default_factory=dict)


def erase(
    connection: Connection, secret: bytes, customer_id: int, *, circle: Circle = Circle.PERSON,
    source: str = OPERATOR, now: datetime, actor: str = audit.ITSELF,
) -> Erased:  # fmt: skip
    """The person this customer is has gone from the database, with every customer who is the same by `circle`.

    Nothing is sent to their addresses any more, and no import takes them again, until somebody says so
    (`readmit.readmit`). Waits for audiences being frozen and imports under way. Call it first in its transaction.
    Atomic with the connection's transaction. Repeat: the second time there is no such customer.

    Raises:
        NotFound: there is no such customer.
    """
    people_go(connection)
    subject = subject_of(connection, customer_id, circle=circle, lock=True)
    return _erased(connection, secret, subject, source, now, actor)


def erase_named(
    connection: Connection, secret: bytes, named: str, *, source: str = OPERATOR, now: datetime,
    actor: str = audit.ITSELF,
) -> Erased:  # fmt: skip
    """The same of an external id or an address, which may be that of somebody who is no customer: who signed up and
    never confirmed, or wrote to us.

    Raises:
        NotFound: nobody has this external id.
    """
    people_go(connection)
    row = find_customer(connection, named, secret)
    if row is not None:
        return erase(connection, secret, row["id"], source=source, now=now, actor=actor)
    return _erased(connection, secret, subject_named(connection, secret, named), source, now, actor)


def erase_address(connection: Connection, subject: Subject, *, now: datetime) -> Erased:
    """Nothing names the person of the subject, who is no customer; nothing is remembered. Repeat: safe.

    What they have asked of us since stays until somebody has answered.
    """
    skipped = skip_waiting(connection, subject.messages, now)
    is_open = inquiry.c.state == "open"
    work = {table: of_inquiries(column, is_open) for table, column in _WORK.items()}
    return Erased(0, skipped, *_forgotten(connection, subject, sparing={inquiry: is_open, **work}))


def _erased(connection: Connection, secret: bytes, subject: Subject, source: str, now: datetime, actor: str) -> Erased:
    blocked = subject.keys
    skipped = skip_waiting(connection, subject.messages, now)
    keep_conversions(connection, subject)
    keep_refusals(connection, subject.customers, blocked, source=source, now=now)
    _key_digests(connection, subject, blocked, now)
    removed, emptied = _forgotten(connection, subject)
    _remember(connection, secret, subject, blocked, source, now)
    forbid(connection, blocked, now=now, source=source)
    for name in subject.audited:
        audit.record(connection, actor, "customer.erase", name, at=now, source=source)
    return Erased(len(subject.customers), skipped, removed, emptied)


def _forgotten(
    connection: Connection, subject: Subject, *, sparing: Mapping[Table, ColumnElement[bool]] = _NONE
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Rows that were removed, and rows that name nobody any more, by table. `sparing`: which rows stay for now."""
    cleared = others_rows.clear(connection, subject)
    emptied = {table.name: _emptied(connection, table, subject) for table in traces.STAYING}
    emptied |= {name: emptied.get(name, 0) + rows for name, rows in cleared.items()}
    others = [table for table in reversed(tied_tables()) if table not in traces.STAYING]
    # Customers last, and inquiries before them: by these is known what work there was on them.
    others.sort(key=lambda table: (table is customer, table is inquiry))
    removed = {table.name: _removed(connection, table, subject, sparing.get(table)) for table in others}
    return _some(removed), _some(emptied)


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: rows for name, rows in counts.items() if rows}


def _emptied(connection: Connection, table: Table, subject: Subject) -> int:
    return traces.empty(connection, table, about(table, subject), traces.pattern_of(subject))


def _removed(connection: Connection, table: Table, subject: Subject, spared: ColumnElement[bool] | None) -> int:
    theirs = about(table, subject) if spared is None else and_(about(table, subject), ~spared)
    if table is customer_address:  # also where it is the former address of somebody else
        theirs = or_(theirs, of_keys(customer_address.c.address_key, subject.keys))
    return connection.execute(delete(table).where(theirs)).rowcount


def _key_digests(connection: Connection, subject: Subject, keys: tuple[UUID, ...], now: datetime) -> None:
    """A hashed list that forbids one of the addresses goes on doing so, by the key: a plain hash can be guessed."""
    theirs = select(blocked_digest.c.reason, blocked_digest.c.source).where(
        about(blocked_digest, subject), blocked_digest.c.lifted_at.is_(None)
    )
    for reason, source in connection.execute(theirs.distinct()).all():
        forbid(connection, keys, now=now, source=source, reason=reason)


def _remember(
    connection: Connection, secret: bytes, subject: Subject, keys: tuple[UUID, ...], source: str, now: datetime
) -> None:
    names = [external_key(secret, name) for name in subject.external_ids]
    # One row a pair: each name with each address once is enough to find either again.
    longest, person = max(len(names), len(keys), 1), uuid4()
    rows = [
        {"external_key": names[min(at, len(names) - 1)], "address_key": keys[min(at, len(keys) - 1)] if keys else None,
         "person": person, "erased_at": now, "source": source}
        for at in range(longest)
    ]  # fmt: skip
    connection.execute(insert(erasure), rows)


def forbid(connection: Connection, keys: Sequence[UUID], *, now: datetime, source: str, reason: str = ERASED) -> None:
    """Nothing is sent to the addresses any more, whoever is imported with them. Repeat: safe."""
    if not keys:
        return
    ending = (
        update(suppression)
        .where(of_keys(suppression.c.address_key, tuple(keys)), suppression.c.reason == reason)
        .where(suppression.c.scope == "global", suppression.c.channel == "email", suppression.c.scope_name == "")
        .where(suppression.c.lifted_at.is_(None), suppression.c.expires_at.is_not(None))
    )
    connection.execute(ending.values(lifted_at=now, lifted_because="replaced by a later entry"))
    entries = [
        {"address_key": key, "scope": "global", "reason": reason, "source": source, "created_at": now} for key in keys
    ]
    connection.execute(upsert(suppression).on_conflict_do_nothing(), entries)
