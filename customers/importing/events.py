"""Events: one row is something a customer did; columns that are no field become its properties.

An activity is known again by its event key; without that column, by its content (customer, name, instant, value,
properties) and its place among equal rows of the file. A key never changes an activity of another customer, nor one
that Clarion wrote itself or a program told.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Source
from customers.importing.people import WHO_FIELDS, WHO_STAGE, find_people, who_reader
from customers.importing.values import Rejected, instant_reader, number_reader, short_key, to_cents

if TYPE_CHECKING:
    from sqlalchemy import Connection


#: Keys of activities that no file wrote: inquiries, surveys, events, replies, and the API (`customers.activities`).
RESERVED: Final = re.compile(
    r"inquiry:\d+:|survey\||event_(?:registered|withdrawn|attended|absent):|feedback:|api:|erased:"
)


class EventImporter(Importer):
    """Activities of customers."""

    fields: ClassVar[Fields] = {
        **WHO_FIELDS,
        "name": ("event", "event name", "activity", "action", "event type", "Ereignis", "Aktion", "事件"),
        "occurred_at": ("time", "timestamp", "date", "event time", "event date", "Zeitpunkt", "Datum", "时间", "日期"),
        "value": ("amount", "score", "Wert", "数值"),
        "source": ("channel", "system", "Quelle", "来源"),
        "event_key": ("event id", "id", "key", "Ereignisnummer", "事件编号"),
    }
    stage: ClassVar[Mapping[str, str]] = {
        "row": "integer",
        **WHO_STAGE,
        "name": "text",
        "occurred_at": "timestamptz",
        "value": "numeric(18, 4)",
        "source": "text",
        "event_key": "text",
        "properties": "jsonb",
    }
    fills: ClassVar[tuple[str, ...]] = ("activity",)

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("external_id", "email"), ("name",), ("occurred_at",), header=source.header)
        self._who = who_reader(source.columns, source.secret)
        self._instant = instant_reader(source.formats)
        self._number = number_reader(source.formats)
        self._cell = {name: source.columns.reader(name) for name in self.fields}

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        who = self._who(cells)
        name, occurred_at, value = cell["name"](cells), cell["occurred_at"](cells), cell["value"](cells)
        if not name:
            raise Rejected("no name (expected what the customer did)")
        if not occurred_at:
            raise Rejected("no date")
        return (
            number, who.name, who.key, name, self._instant(occurred_at),
            to_cents(self._number(value)) if value else None,
            cell["source"](cells) or self.source.label, _own_key(cell["event_key"](cells)) or None,
            json.dumps(self.source.columns.attribute_texts(cells), ensure_ascii=False),
        )  # fmt: skip

    def load(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        rejected = find_people(connection)
        connection.execute(text(_OCCURRENCES))
        connection.execute(text("ANALYZE occurrence"))
        repeated = connection.execute(text(_REPEATED))
        rejected |= {row: f"the same event key as row {first}" for row, first in repeated}
        created, updated = connection.execute(text(_UPSERT)).one()
        rejected |= {
            row: f"the event key {key!r} is of another customer" for row, key in connection.execute(text(_TAKEN))
        }
        later = connection.execute(text(_LATER), {"now": self.source.now}).scalar_one()
        told = (f"{later:,} of the future: nothing follows from them before their date",) if later else ()
        return Loaded(created, updated, rejected, told)


def _own_key(key: str) -> str:
    if RESERVED.match(key):
        raise Rejected(f"the event key {key[:40]!r} begins like those of Clarion's own activities")
    return short_key(key)


#: The rows of `staged` with their customers of `known`, each with its event key; `nth`: of those with the same key.
OCCURRENCES: Final = """
    WITH content AS (
        SELECT staged.*, known.customer_id,
               md5(concat_ws(chr(31), who, name, extract(epoch FROM occurred_at), value, properties)) AS digest
        FROM staged JOIN known USING (who)
        WHERE known.customer_id IS NOT NULL
    )
    SELECT row, customer_id, name, occurred_at, value, source, properties,
           coalesce(event_key, digest || '-' || row_number() OVER alike) AS event_key,
           CASE WHEN event_key IS NULL THEN 1 ELSE row_number() OVER alike END AS nth,
           first_value(row) OVER alike AS first_row
    FROM content
    WINDOW alike AS (PARTITION BY coalesce(event_key, digest) ORDER BY row)
"""

_OCCURRENCES = f"CREATE TEMP TABLE occurrence ON COMMIT DROP AS {OCCURRENCES}"

_REPEATED = "SELECT row, first_row FROM occurrence WHERE nth > 1"

_LATER = "SELECT count(*) FROM occurrence WHERE nth = 1 AND occurred_at > :now"

#: To be asked after WRITE, which leaves these alone.
_TAKEN = """
    SELECT o.row, o.event_key FROM occurrence o JOIN activity a USING (event_key)
    WHERE o.nth = 1 AND a.customer_id <> o.customer_id
"""

#: The rows of `occurrence` that are new or changed; the source of an activity is that of its first import, and so is
#: its customer.
WRITE: Final = """
        INSERT INTO activity AS known (customer_id, name, occurred_at, properties, value, source, event_key)
        SELECT o.customer_id, o.name, o.occurred_at, o.properties, o.value, o.source, o.event_key
        FROM occurrence o LEFT JOIN activity a USING (event_key)
        WHERE o.nth = 1 AND (a.id IS NULL OR a.customer_id = o.customer_id AND
            (a.name, a.occurred_at, a.properties, a.value) IS DISTINCT FROM
            (o.name, o.occurred_at, o.properties, o.value))
        ORDER BY o.row
        ON CONFLICT (event_key) DO UPDATE SET
            name = excluded.name, occurred_at = excluded.occurred_at,
            properties = excluded.properties, value = excluded.value
            WHERE known.customer_id = excluded.customer_id
        RETURNING known.event_key, known.xmax = 0 AS is_new
"""

_UPSERT = f"""
    WITH written AS ({WRITE})
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
"""  # noqa: S608  made of our own texts
