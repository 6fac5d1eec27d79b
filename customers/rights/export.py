"""Everything that is kept about one person, as one document a machine can read (S-5.15)."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Table, select

from core.commands import writing
from core.guard import GuardedWriter
from core.schema import kept_content
from customers.rights.subject import Circle, Subject, subject_of
from customers.rights.ties import about, tied_tables

FORMAT: Final = "clarion-customer-export/1"
#: Of the audit: who among the staff did something is no fact about the person.
_LEFT_OUT: Final[Mapping[str, frozenset[str]]] = {"audit": frozenset({"actor", "number", "seal"})}


def document(
    connection: Connection, customer_id: int, *, circle: Circle = Circle.PERSON, now: datetime | None = None
) -> dict[str, Any]:
    """Every row that names the person this customer is, by table; values as JSON has them.

    `tables` has every table with rows about people, also the empty ones; `about` says what each holds. The person is
    the customers in the `circle`; of others of the same `person` it says how many there are (`others`).

    Raises:
        NotFound: there is no such customer.
    """
    return document_of(connection, subject_of(connection, customer_id, circle=circle), now=now)


def document_of(connection: Connection, subject: Subject, *, now: datetime | None = None) -> dict[str, Any]:
    """The same of a person who may be known by an address alone."""
    found = {"format": FORMAT} if now is None else {"format": FORMAT, "exported_at": now.isoformat()}
    tables = {table.name: _rows(connection, table, subject) for table in tied_tables()}
    return {
        **found,
        "customers": list(subject.external_ids),
        "addresses": list(subject.emails),
        "others": subject.others,
        "about": {table.name: table.comment for table in tied_tables() if table.comment},
        "tables": tables,
    }


def row_count(document: Mapping[str, Any]) -> int:
    """How many rows a document has."""
    return sum(map(len, document["tables"].values()))


def write_tables(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """A CSV file for each table that has rows is in `folder`, which is made; no spreadsheet runs a cell (S-9.6).

    Raises:
        EngineError: the file system refused.
    """
    written = []
    for name, rows in document["tables"].items():
        if not rows:
            continue
        path = folder / f"{name}.csv"
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8-sig", newline="") as stream:
                writer = GuardedWriter(stream)
                writer.write(rows[0])
                for row in rows:
                    writer.write(_cell(value) for value in row.values())
        written.append(path)
    return written


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rows(connection: Connection, table: Table, subject: Subject) -> list[dict[str, Any]]:
    query = select(table).where(about(table, subject)).order_by(*table.primary_key.columns)
    return [_public(table, row) for row in connection.execute(query).mappings()]


def _public(table: Table, row: RowMapping) -> dict[str, Any]:
    left_out = _LEFT_OUT.get(table.name, frozenset())
    read = zlib.decompress if table is kept_content else bytes
    return {name: _plain(value, read) for name, value in row.items() if name not in left_out}


def _plain(value: Any, read: Callable[[bytes], bytes]) -> Any:
    """`value` as JSON has it. Octets are a text where they are one in UTF-8, else base64."""
    if value is None or isinstance(value, bool | int | float | str | dict):
        return value
    if isinstance(value, list):
        return [_plain(each, read) for each in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | memoryview):
        return _text(read(bytes(value)))
    return str(value)


def _text(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}
