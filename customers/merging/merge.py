"""One customer becomes another: all of it in one transaction, or nothing."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from core import audit
from core.errors import UsageError
from core.people_lock import people_go
from core.schema import customer, customer_address, customer_alias
from customers.merging import passages, words
from customers.merging.messages import hand_over_messages
from customers.merging.rows import hand_over_rows, naming_columns


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did. `moved`: table → rows that name the customer who is left now."""

    merged: str  # external id of the customer who is gone
    into: str
    moved: Mapping[str, int]
    consents: int  # rows written so that the stricter word holds
    suppressions: int  # entries written so that the other address is suppressed too


@dataclass(frozen=True, slots=True)
class _Pair:
    merged: RowMapping
    into: RowMapping

    @property
    def new_key(self) -> Any:
        """The address that is left."""
        return self.into["address_key"] or self.merged["address_key"]


def merge(connection: Connection, merged_id: int, into_id: int, *, because: str, actor: str, now: datetime) -> Merged:
    """The one customer is part of the other: every row that named it names the other, who has its external id as a
    further name and its address as a further address. Where both said something the stricter word holds.

    What the other customer has not is filled in: name, address, owner and the like. Customers of the same `person` as
    either are of one person now. Metrics are those of before until `metrics.refresh`, which belongs into another
    transaction: imports, freezes and opt-outs wait until this one ends. Repeat: not safe, the merged customer is gone.
    Atomic with the connection's transaction, in which it comes first.

    Raises:
        UsageError: it is one customer, one is gone, or `because` is empty.
    """
    if not because.strip():
        raise UsageError("customers are merged with a reason", hint="say why with --because")
    people_go(connection)
    pair = _locked(connection, merged_id, into_id)
    said = words.words_of(connection, [merged_id, into_id])
    moved = _moved(connection, pair, now)
    written = words.keep_strictest(connection, said, into_id, merged_id, now)
    followed = words.follow_person(connection, pair.merged["address_key"], pair.new_key, now)
    _unite_person(connection, pair, now)
    _become_one(connection, pair, because, now)
    told = {"merged": merged_id, "because": because, "moved": moved}
    audit.record(connection, actor, "customer.merge", f"customer:{into_id}", at=now, **told)
    return Merged(pair.merged["external_id"], pair.into["external_id"], moved, written, followed)


def _locked(connection: Connection, merged_id: int, into_id: int) -> _Pair:
    if merged_id == into_id:
        raise UsageError("both keys name the same customer (expected two)", hint="nothing is left to merge")
    both = select(customer).where(customer.c.id.in_([merged_id, into_id])).order_by(customer.c.id).with_for_update()
    rows = {row["id"]: row for row in connection.execute(both).mappings()}
    if len(rows) < 2:
        raise UsageError("one of the customers is gone meanwhile", hint="look with `clarion customer show`")
    return _Pair(rows[merged_id], rows[into_id])


def _moved(connection: Connection, pair: _Pair, now: datetime) -> dict[str, int]:
    """Table → rows of it that name the other customer now, for every table of the schema."""
    numbers: Counter[str] = Counter()
    for table, column in naming_columns():
        numbers[table.name] += _HANDLED.get(table.name, _plain)(connection, pair, column, now)
    return {name: number for name, number in numbers.items() if number}


def _plain(connection: Connection, pair: _Pair, column: Any, _now: datetime) -> int:
    return hand_over_rows(connection, column, pair.merged["id"], pair.into["id"])


def _consents(connection: Connection, pair: _Pair, column: Any, now: datetime) -> int:
    words.tell_consents_apart(connection, pair.merged, pair.into["id"])
    return _plain(connection, pair, column, now)


def _preference(connection: Connection, pair: _Pair, column: Any, now: datetime) -> int:
    words.prefer_fewer(connection, pair.merged["id"], pair.into["id"])
    return _plain(connection, pair, column, now)


def _messages(connection: Connection, pair: _Pair, _column: Any, now: datetime) -> int:
    return hand_over_messages(
        connection, pair.merged["id"], pair.into["id"],
        old_key=pair.merged["address_key"], new_key=pair.new_key, now=now,
    )  # fmt: skip


def _metrics(connection: Connection, pair: _Pair, column: Any, _now: datetime) -> int:
    """They are computed again later; the levels of the customer who is left change from what they were."""
    known = connection.execute(select(column).where(column == pair.into["id"])).first()
    if known is None:
        return hand_over_rows(connection, column, pair.merged["id"], pair.into["id"])
    connection.execute(delete(column.table).where(column == pair.merged["id"]))
    return 0


def _enrolments(connection: Connection, pair: _Pair, column: Any, now: datetime) -> int:
    passages.end_twin_passages(connection, pair.merged["id"], pair.into["id"], now)
    return _plain(connection, pair, column, now)


def _registrations(connection: Connection, pair: _Pair, column: Any, now: datetime) -> int:
    passages.give_up_twin_seats(connection, pair.merged["id"], pair.into["id"], now)
    return _plain(connection, pair, column, now)


def _answers(connection: Connection, pair: _Pair, column: Any, now: datetime) -> int:
    passages.keep_latest_answers(connection, pair.merged["id"], pair.into["id"])
    return _plain(connection, pair, column, now)


#: Tables whose rows cannot simply change their customer; all the others are found by walking the schema.
_HANDLED: Final[Mapping[str, Callable[[Connection, _Pair, Any, datetime], int]]] = {
    "consent": _consents,
    "preference": _preference,
    "message": _messages,
    "customer_metrics": _metrics,
    "enrolment": _enrolments,
    "registration": _registrations,
    "survey_answer": _answers,
}


def _unite_person(connection: Connection, pair: _Pair, now: datetime) -> None:
    """The other addresses of the merged customer's person are those of the person of the one who is left."""
    mine, theirs = pair.merged["person"], pair.into["person"]
    if mine is not None and theirs is not None and mine != theirs:
        connection.execute(update(customer).where(customer.c.person == mine).values(person=theirs, updated_at=now))


#: What is filled in where the customer who is left has nothing.
_FILLED: Final = (
    "first_name", "last_name", "company", "phone", "country", "language", "zone", "owner", "person", "household",
    "source",
)  # fmt: skip


def _become_one(connection: Connection, pair: _Pair, because: str, now: datetime) -> None:
    merged, into = pair.merged, pair.into
    filled = {name: into[name] if into[name] is not None else merged[name] for name in _FILLED}
    if into["address_key"] is None:
        filled |= {name: merged[name] for name in ("email", "address_key", "smtputf8")}
    connection.execute(delete(customer).where(customer.c.id == merged["id"]))
    connection.execute(
        update(customer)
        .where(customer.c.id == into["id"])
        .values(
            **filled, attributes=dict(merged["attributes"]) | dict(into["attributes"]), updated_at=now,
            created_at=min(merged["created_at"], into["created_at"]),
        )
    )  # fmt: skip
    connection.execute(
        insert(customer_alias).values(
            external_id=merged["external_id"], customer_id=into["id"], merged_because=because.strip(), merged_at=now
        )
    )
    if merged["email"] is not None and merged["address_key"] != pair.new_key:
        known = {"customer_id": into["id"], "address_key": merged["address_key"], "email": merged["email"]}
        connection.execute(upsert(customer_address).values(**known, known_at=now).on_conflict_do_nothing())
    present = (customer_address.c.customer_id == into["id"]) & (customer_address.c.address_key == pair.new_key)
    connection.execute(delete(customer_address).where(present))
