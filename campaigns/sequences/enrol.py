"""How passages begin: one for each customer and key at a time, and again only where the sequence says so.

Writes `enrolment`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Interval,
    Select,
    SQLColumnExpression,
    Text,
    bindparam,
    func,
    literal,
    null,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from campaigns.sequences import records, versions
from campaigns.sequences.definition import After
from campaigns.sequences.records import SequenceState
from campaigns.sequences.versions import Standing
from campaigns.sequences.waits import Clock
from campaigns.transactional import check_order
from core.arrays import Ids, among
from core.errors import NotFound, PlanError
from core.local_time import shown_in
from core.schema import customer, enrolment, sequence

#: By whom a passage was begun, where nobody of the sequence's own ways was.
OPERATOR: Final = "operator"
API: Final = "api"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an order to enrol came to. `is_new` False: nothing was added, and `because` says why."""

    enrolment_id: int
    is_new: bool
    because: str | None = None


def enrol(
    connection: Connection,
    sequence: str,
    customer_id: int,
    *,
    key: str = "",
    given: Mapping[str, Any] | None = None,
    source: str = API,
    now: datetime,
) -> Enrolled:
    """The customer passes through the sequence, under this `key`; whoever does already goes on as they were.

    The segment or activity of its `enrol` is not asked. `given`: what templates and rules name as `given.…`. A sequence
    that is paused takes people, who wait at its beginning. Repeat: safe, also at the same time, as far as `enrol.again`
    of the sequence goes. Atomic: yes.

    Raises:
        NotFound: there is no such sequence or customer.
        PlanError: the sequence was cancelled.
        UsageError: `key` or `given` cannot be kept.
    """
    if key or given:
        check_order(key or "-", given or {})
    standing = _standing(connection, sequence)
    person = select(customer.c.id).where(customer.c.id == customer_id)
    if connection.execute(person.with_for_update(read=True, key_share=True)).scalar() is None:
        raise NotFound(f"there is no customer with the number {customer_id}")
    one = select(
        literal(customer_id).label("customer_id"), literal(key, Text).label("entry_key"),
        null().cast(Text).label("source_key"), literal(dict(given or {}), JSONB).label("given"),
    )  # fmt: skip
    added = begin(connection, standing, one, source=source, now=now)
    if added:
        return Enrolled(added[0], is_new=True)
    last = newest(standing, literal(customer_id), literal(key, Text))
    row = connection.execute(select(last.c.id, last.c.state, last.c.entered_at)).one()
    return Enrolled(row.id, is_new=False, because=_why_not(standing, row.state, row.entered_at))


def _standing(connection: Connection, sequence: str) -> Standing:
    record = records.named(connection, sequence)
    if record.state is SequenceState.CANCELLED:
        raise PlanError(f"{sequence} was cancelled: nobody enters it", hint="a new version's plan begins it again")
    return versions.fetch(connection, record.version_id)


def _why_not(standing: Standing, state: str, entered_at: datetime) -> str:
    at = shown_in(standing.version.zone, entered_at)
    if state == "active":
        return f"passes through it since {at}"
    again = standing.definition.enrol.again
    wait = f"enrol.again is {'after ' if isinstance(again, After) else ''}{getattr(again, 'after', again)}"
    return f"passed through it before, from {at} on ({wait})"


# --- many at once ------------------------------------------------------------------------------------------------


def begin(
    connection: Connection, standing: Standing, source_rows: Select[Any], *, source: str, now: datetime
) -> list[int]:
    """Those of the rows who may enter pass through the sequence; the ids of the new passages are returned.

    `source_rows`: customer_id, entry_key, source_key and given, one row for each customer and key at most; and where it
    was not now that they entered, entered_at, from which `since="enrolment"` and `again: {after: …}` count. Waits
    count from now: what comes late is not hurried through. Who enters at a wait has its end reckoned at once. Repeat:
    safe, also concurrently.
    """
    standing = _in_force(connection, standing)
    rows = source_rows.subquery("entering")
    last = newest(standing, rows.c.customer_id, rows.c.entry_key)
    at: Any = literal(now, DateTime(timezone=True))
    entered = func.least(rows.c.entered_at, at) if "entered_at" in rows.c else at
    first = standing.definition.order[0]
    values: dict[str, SQLColumnExpression[Any]] = {
        "sequence": literal(standing.sequence), "version_id": literal(standing.id), "customer_id": rows.c.customer_id,
        "entry_key": rows.c.entry_key, "number": func.coalesce(last.c.number, 0) + 1, "state": literal("active"),
        "step": literal(first), "due_at": at, "nominal_at": at, "step_since": entered, "entered_at": entered,
        "source": literal(source), "source_key": rows.c.source_key, "given": rows.c.given,
    }  # fmt: skip
    query = select(*values.values()).select_from(rows.outerjoin(last, true())).where(may_enter(standing, last, entered))
    added = insert(enrolment).from_select(list(values), query.order_by(rows.c.customer_id)).on_conflict_do_nothing()
    ids = list(connection.execute(added.returning(enrolment.c.id)).scalars())
    if standing.definition.steps[first].wait is not None and ids:
        _let_wait(connection, standing, ids, now)
    return ids


def _in_force(connection: Connection, standing: Standing) -> Standing:
    """The version new passages begin with, held until the transaction ends: nobody enters one that an edit left."""
    held = select(sequence.c.version_id).where(sequence.c.name == standing.sequence)
    version_id = connection.execute(held.with_for_update(read=True, key_share=True)).scalar()
    return standing if version_id in (None, standing.id) else versions.fetch(connection, version_id)


def newest(standing: Standing, customer_id: ColumnElement[int], key: ColumnElement[str]) -> Any:
    """SQL: the newest passage of the customer with this key, by LATERAL."""
    known = enrolment.alias("newest")
    columns = [known.c[name] for name in ("id", "number", "state", "entered_at")]
    mine = select(*columns).where(
        known.c.sequence == standing.sequence, known.c.customer_id == customer_id, known.c.entry_key == key
    )
    return mine.order_by(known.c.number.desc()).limit(1).lateral("last")


def may_enter(standing: Standing, last: Any, at: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """SQL: whether somebody whose newest passage is `last`, if there is one, may begin another at that instant."""
    is_first: ColumnElement[bool] = last.c.id.is_(None)
    again = standing.definition.enrol.again
    if again == "never":
        return is_first
    is_over = last.c.state != "active"
    if isinstance(again, After):
        at = literal(at, DateTime(timezone=True)) if isinstance(at, datetime) else at
        is_over &= last.c.entered_at <= at - literal(again.after, Interval)
    return or_(is_first, is_over)


_WAIT: Final = text("""
    UPDATE enrolment AS e SET nominal_at = w.nominal_at, due_at = w.due_at
    FROM customer AS c, unnest(CAST(:zones AS text[]), :nominals, :dues) AS w (zone, nominal_at, due_at)
    WHERE e.id = ANY(:ids) AND c.id = e.customer_id AND c.zone IS NOT DISTINCT FROM w.zone
""").bindparams(
    bindparam("ids", type_=Ids),
    bindparam("zones", type_=ARRAY(Text)),
    bindparam("nominals", type_=ARRAY(DateTime(timezone=True))),
    bindparam("dues", type_=ARRAY(DateTime(timezone=True))),
)


def _let_wait(connection: Connection, standing: Standing, ids: Sequence[int], now: datetime) -> None:
    """The passages begin with a wait: it ends when it does where each of them lives."""
    zones_of = select(customer.c.zone).join(enrolment, enrolment.c.customer_id == customer.c.id).distinct()
    zones = list(connection.execute(zones_of.where(among(enrolment.c.id, ids))).scalars())
    clock, first = Clock(standing.version.zone, now), standing.definition.steps[standing.definition.order[0]]
    rests = [clock.rest(first, zone, now) for zone in zones]
    nominals, dues = [rest.nominal for rest in rests], [rest.due_at for rest in rests]
    connection.execute(_WAIT, {"ids": list(ids), "zones": zones, "nominals": nominals, "dues": dues})
