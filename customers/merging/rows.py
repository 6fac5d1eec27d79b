"""Every table whose rows name a customer, found by walking the schema, so that a new one cannot be forgotten."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, UniqueConstraint, delete, exists, update

from core.schema import customer, metadata


def naming_columns() -> Iterator[tuple[Table, Column[Any]]]:
    """Every column that refers to `customer.id`, with its table, in the order of the tables' names."""
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        for column in table.columns:
            if any(key.column is customer.c.id for key in column.foreign_keys):
                yield table, column


def hand_over_rows(connection: Connection, column: Column[Any], merged_id: int, into_id: int) -> int:
    """What named the one customer in `column` names the other; returns how many rows do now.

    A row that would then be there twice, by a unique constraint over the column, goes: the other customer's own stays.
    """
    table = column.table
    for keys in _unique_keys(table, column):
        twin = table.alias("twin")
        same = [twin.c[key.name] == key for key in keys if key is not column]
        there = exists().where(twin.c[column.name] == into_id, *same)
        connection.execute(delete(table).where(column == merged_id, there))
    moved = update(table).where(column == merged_id).values({column.name: into_id})
    return connection.execute(moved).rowcount


def _unique_keys(table: Table, column: Column[Any]) -> Iterator[list[Column[Any]]]:
    """The columns of every unique constraint, key or plain unique index of the table that `column` is part of."""
    constraints = [item for item in table.constraints if isinstance(item, UniqueConstraint)]
    found = [list(item.columns) for item in (table.primary_key, *constraints)]
    found += [list(index.columns) for index in table.indexes if index.unique]
    return (columns for columns in found if column in columns)
