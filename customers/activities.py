"""Activities that programs tell of as they happen, by the rules of imports (`customers.importing.events`)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from customers.importing.events import OCCURRENCES, WRITE
from customers.importing.people import KNOWN

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Outcome(StrEnum):
    """What became of one activity."""

    NEW = "new"
    CHANGED = "changed"  #: one with its key was known, and said something else
    KNOWN = "known"  #: the same was told before
    KEY_TAKEN = "key_taken"  #: its key is that of another customer's: that one stays, and this is not kept
    UNKNOWN_CUSTOMER = "unknown_customer"  #: nobody is named so: nothing is kept


@dataclass(frozen=True, slots=True)
class Told:
    """Something a customer did. `who` is their external id, else their comparable address; `event_key` tells it from
    all others of its source, None: its content does."""

    who: str
    who_key: UUID | None
    name: str
    occurred_at: datetime
    properties: dict[str, Any]
    value: Decimal | None
    event_key: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """How a caller names a customer: `name` is the external id, else the comparable address; `key` that of the
    address."""

    name: str
    key: UUID | None


_STAGED: Final = """
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS staged (
        row integer, who text, who_key uuid, name text, occurred_at timestamptz, value numeric(18, 4), source text,
        event_key text, properties jsonb
    )
"""
_RECORD: Final = f"""
    WITH staged AS MATERIALIZED ({_STAGED}), known AS MATERIALIZED ({KNOWN}),
    occurrence AS MATERIALIZED ({OCCURRENCES}), written AS ({WRITE})
    SELECT known.customer_id, occurrence.event_key, CASE
        WHEN known.customer_id IS NULL THEN 'unknown_customer' WHEN occurrence.nth = 1 AND written.is_new THEN 'new'
        WHEN occurrence.nth = 1 AND NOT written.is_new THEN 'changed' ELSE 'known' END AS outcome
    FROM staged JOIN known USING (who)
    LEFT JOIN occurrence ON occurrence.row = staged.row
    LEFT JOIN written ON written.event_key = occurrence.event_key
    ORDER BY staged.row
"""  # noqa: S608  made of our own texts


def record_activities(connection: "Connection", told: Sequence[Told], *, source: str) -> list[Outcome]:
    """The activities are on record; what became of each, in their order.

    To be called while `core.people_lock.people_stay` holds. `source`: such as `api:shop`; each has keys of its own,
    which no other can change. Repeat: safe, one is told from another by its key, or by its content. Atomic with the
    connection's transaction.
    """
    from sqlalchemy import text

    rows = [{"row": row, "source": source, **asdict(one)} for row, one in enumerate(told)]
    for row in rows:
        row["event_key"] = f"{source}:{row['event_key']}" if row["event_key"] is not None else None
    written = connection.execute(text(_RECORD), {"rows": json.dumps(rows, default=str, allow_nan=False)}).all()
    whose = _whose(connection, [row.event_key for row in written if row.outcome == Outcome.KNOWN])
    return [
        Outcome.KEY_TAKEN if whose.get(row.event_key, row.customer_id) != row.customer_id else Outcome(row.outcome)
        for row in written
    ]


def _whose(connection: "Connection", keys: Sequence[str]) -> dict[str, int]:
    """The customers of the activities with these keys, also of what was written at the same time."""
    from sqlalchemy import select

    from core.schema import activity

    if not keys:
        return {}
    found = select(activity.c.event_key, activity.c.customer_id).where(activity.c.event_key.in_(keys))
    return {row.event_key: row.customer_id for row in connection.execute(found)}


_FIND: Final = f"""
    WITH staged AS (SELECT CAST(:name AS text) AS who, CAST(:key AS uuid) AS who_key)
    SELECT customer_id FROM ({KNOWN}) AS known
"""  # noqa: S608  made of our own texts


def find_person(connection: "Connection", person: Person) -> int | None:
    """The number of the customer, found as imports do; None: nobody is named so."""
    from sqlalchemy import text

    found: int | None = connection.execute(text(_FIND), {"name": person.name, "key": person.key}).scalar()
    return found
