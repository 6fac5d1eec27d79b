"""Arrays as parameters of statements, written as text.

psycopg dumps lists item by item, and picks the type by the values: for the five hundred ids of a batch that takes a
quarter of a millisecond each time, for the eleven short lists of a window longer than PostgreSQL takes to carry it out.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, any_, literal
from sqlalchemy.types import UserDefinedType


def ids_text(ids: Iterable[int]) -> str:
    """`ids`, or other whole numbers, as PostgreSQL writes an array."""
    return "{" + ",".join(map(str, ids)) + "}"


def array_item(value: int | bool | str | None) -> str:
    """`value` as it stands in an array."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


class Ids(UserDefinedType[Any]):
    """The type of a parameter that holds ids: `bindparam("ids", type_=Ids)`."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """What PostgreSQL calls it."""
        return "bigint[]"

    def bind_processor(self, dialect: Any) -> Callable[[Any], str | None]:  # noqa: ARG002  as SQLAlchemy calls it
        """Ids as PostgreSQL writes an array."""
        return lambda ids: None if ids is None else ids_text(ids)


def among(column: ColumnElement[int], ids: Iterable[int]) -> ColumnElement[bool]:
    """SQL: the column is one of `ids`. One parameter, where `in_` has as many as there are ids."""
    return column == any_(literal(list(ids), Ids))
