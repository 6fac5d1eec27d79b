"""Merging customers: every row follows, the stricter word holds, each run writes to the person once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Table, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, INET, JSONB
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE
from sqlalchemy.types import BigInteger, Boolean, DateTime, Integer, Interval, LargeBinary, Numeric, SmallInteger, Text

from core import schema
from core.database import Database
from core.errors import UsageError
from core.settings import Tiers
from customers.merging.merge import Merged, merge
from customers.merging.rows import naming_columns
from tests import factories

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Tables = pytest.mark.parametrize("table", sorted({table.name for table, _ in naming_columns()}))


def merged_into(connection: Connection, merged_id: int, into_id: int, **changes: Any) -> Merged:
    """The one customer is part of the other."""
    given = {"because": "same person", "actor": "tester", "tiers": Tiers(), "now": NOW} | changes
    return merge(connection, merged_id, into_id, **given)


def of(connection: Connection, table: Table, customer_id: int) -> int:
    """How many rows of the table name the customer."""
    query = select(func.count()).select_from(table).where(table.c.customer_id == customer_id)
    return int(connection.execute(query).scalar_one())


_ANY: dict[type, Callable[[int], Any]] = {
    Text: lambda number: f"text{number}",
    SmallInteger: lambda number: number % 100,
    Integer: lambda number: number,
    BigInteger: lambda number: number,
    Numeric: lambda number: number,
    Boolean: lambda _: False,
    DateTime: lambda _: NOW,
    Interval: lambda _: timedelta(days=1),
    LargeBinary: lambda number: str(number).encode(),
    JSONB: lambda _: {},
    INET: lambda _: "192.0.2.1",
    UUID_TYPE: lambda number: f"00000000-0000-0000-0000-{number:012d}",
    ARRAY: lambda _: [],
}
#: What a check of the database asks for.
_FITTING = {
    ("consent", "state"): "granted", ("task", "state"): "open", ("staff_notice", "state"): "planned",
    ("rights_request", "kind"): "export", ("rights_request", "state"): "requested",
    ("inbound_mail", "state"): "received", ("message", "state"): "accepted",
}  # fmt: skip


def any_row(connection: Connection, table: Table, customer_id: int, number: int) -> None:
    """A row of the table that names the customer, whatever columns the table has."""
    if table is schema.message:
        factories.make_message(connection, factories.make_run(connection, f"campaign{number}"), customer_id)
        return
    values: dict[str, Any] = {}
    for column in table.columns:
        if any(key.column is schema.customer.c.id for key in column.foreign_keys):
            values[column.name] = customer_id
        elif not column.nullable and column.identity is None and column.server_default is None:
            values[column.name] = _fitting(table, column, number)
    connection.execute(insert(table).values(**values))


def _fitting(table: Table, column: Column[Any], number: int) -> Any:
    fixed = _FITTING.get((table.name, column.name))
    kind = type(column.type)
    assert kind in _ANY or fixed is not None or kind is ENUM, f"say what a {kind.__name__} may hold"
    return fixed if fixed is not None else _ANY[kind](number)


@Tables
def test_merge_moves_rows_of_every_table(database: Database, table: str) -> None:
    """
    Whatever table names customers: its rows of the merged one name the one who is left.
    """
    named = schema.metadata.tables[table]
    with database.begin() as connection:
        merged_id, into_id = factories.make_customer(connection), factories.make_customer(connection)
        any_row(connection, named, merged_id, 1)
        if table not in ("preference", "customer_metrics"):  # one row a customer
            any_row(connection, named, into_id, 2)
        before = of(connection, named, merged_id) + of(connection, named, into_id)
        merged_into(connection, merged_id, into_id)

        assert 0 == of(connection, named, merged_id)
        # The merge itself adds a name and an address.
        assert before + (table in ("customer_alias", "customer_address")) == of(connection, named, into_id)
