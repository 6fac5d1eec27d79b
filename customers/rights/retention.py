"""What was kept long enough goes: each class of data by its own rule, told beforehand by a dry run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, TextClause, select, text

from core import audit
from core.database import Transactions
from core.people_lock import people_go
from core.retention_settings import Retention
from core.schema import erasure
from customers.rights.classes import Rule, due
from customers.rights.erase import erase_address
from customers.rights.queued import ERASED
from customers.rights.subject import subject_of_keys

#: Rows changed in one transaction: so that nobody waits long for a lock, and a stop loses little.
_SLICE: Final = 50_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did to one table, or a dry run would have done."""

    data_class: str
    table: str
    rows: int
    deleted: bool  # False: emptied of what was kept long enough
    before: datetime


def run(
    database: Transactions, settings: Retention, *, now: datetime, dry_run: bool = False, actor: str = audit.ITSELF
) -> list[Outcome]:
    """Every row whose time is up is gone, or empty of what its class holds; what that was, one line a table.

    Atomic: no, in slices; what was done stays done. Repeat: safe. A `dry_run` changes nothing, and its counts are those
    of a run at the same `now`.
    """
    if dry_run:
        return _told(database, settings, now)
    with database.begin() as connection:
        outcomes = _forget_erased(connection, now)
    outcomes += [
        Outcome(each.name, rule.table, _apply(database, rule, before), not rule.becomes, before)
        for each, before in due(settings, now)
        for rule in each.rules
    ]
    if told := {f"{one.data_class}: {one.table}": one.rows for one in outcomes if one.rows}:
        with database.begin() as connection:
            audit.record(connection, actor, "retention.run", "database:all", at=now, rows=told)
    return outcomes


def _told(database: Transactions, settings: Retention, now: datetime) -> list[Outcome]:
    """What a run would do. What takes others' rows along is done and undone, since they would find less after it."""
    with database.begin() as connection:
        savepoint = connection.begin_nested()
        outcomes = _forget_erased(connection, now)
        outcomes += [
            Outcome(each.name, rule.table, _count(connection, rule, before), not rule.becomes, before)
            for each, before in due(settings, now)
            for rule in each.rules
        ]
        savepoint.rollback()
    return outcomes


def _apply(database: Transactions, rule: Rule, before: datetime) -> int:
    done = 0
    while True:
        with database.begin() as connection:
            if rule.table == "customer":
                people_go(connection)
            changed = connection.execute(_change(rule), {"before": before, "slice": _SLICE}).rowcount
        done += changed
        if changed < _SLICE:
            return done


def _count(connection: Connection, rule: Rule, before: datetime) -> int:
    """How many rows it would be. Customers are gone with all that is theirs, to be undone."""
    if rule.table == "customer":
        return connection.execute(_change(rule), {"before": before, "slice": None}).rowcount
    query = text(f"SELECT count(*) FROM {rule.table} WHERE {rule.where}")  # noqa: S608  made of our own words
    return int(connection.execute(query, {"before": before}).scalar_one())


def _change(rule: Rule) -> TextClause:
    """The rule as a statement for one slice."""
    slice_ = f"SELECT ctid FROM {rule.table} WHERE {rule.where} LIMIT :slice FOR UPDATE SKIP LOCKED"  # noqa: S608
    head = f"UPDATE {rule.table} SET {rule.becomes}" if rule.becomes else f"DELETE FROM {rule.table}"  # noqa: S608
    return text(f"{head} WHERE ctid = ANY(ARRAY({slice_}))")


def _forget_erased(connection: Connection, now: datetime) -> list[Outcome]:
    """What came in for erased people since (a late bounce, what a server said) names nobody either."""
    erased = select(erasure.c.address_key).where(erasure.c.readmitted_at.is_(None), erasure.c.address_key.is_not(None))
    keys = connection.execute(erased.distinct()).scalars().all()
    if not keys:
        return []
    found = erase_address(connection, subject_of_keys(connection, keys), now=now)
    return [  # a class of its own, which nobody sets: always due
        Outcome(ERASED, name, rows, deleted, now)
        for tables, deleted in ((found.removed, True), (found.emptied, False))
        for name, rows in tables.items()
    ]
