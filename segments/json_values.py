"""How a JSON value is read as a text, a number or a flag: in SQL and in Python, side by side, and equal.

| JSON value      | as a text            | as a number          | as a flag              |
|-----------------|----------------------|----------------------|------------------------|
| text            | itself               | if written as one    | "true" and "false"     |
| number          | shortest digits      | itself               | missing                |
| true, false     | "true", "false"      | missing              | itself                 |
| null, list, map | missing              | missing              | missing                |

A number written as a text has at most 30 digits on each side of its point: no value in the database can make
a query fail.
"""

import re
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, Numeric, Text, case, cast, func, literal, literal_column

from segments.tree import Constant, Type

_NUMBER: Final = r"^-?[0-9]{1,30}(\.[0-9]{1,30})?$"


def json_column(column: ColumnElement[Any], key: str, type_: Type) -> ColumnElement[Any]:
    """The member `key` of a jsonb column read as `type_`; NULL when it is missing."""
    name = literal(key, Text)
    text: ColumnElement[Any] = column.op("->>", return_type=Text())(name)
    kind = func.jsonb_typeof(column.op("->")(name))
    if type_ is Type.NUMBER:
        written = case((text.op("~", is_comparison=True)(literal_column(f"'{_NUMBER}'")), cast(text, Numeric)))
        return case((kind == _word("number"), cast(text, Numeric)), (kind == _word("string"), written))
    if type_ is Type.FLAG:
        return case(
            (kind.not_in([_word("string"), _word("boolean")]), cast(None, Boolean)),
            (text == _word("true"), literal_column("true", Boolean)),
            (text == _word("false"), literal_column("false", Boolean)),
        )
    digits = cast(func.trim_scale(cast(text, Numeric)), Text)
    return case((kind == _word("number"), digits), (kind.in_([_word("string"), _word("boolean")]), text))


def _word(text: str) -> ColumnElement[str]:
    """A word of ours as a literal, which keeps the parameters to what the author wrote."""
    return literal_column(f"'{text}'", Text)


def json_missing(column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
    """Whether the member `key` is absent or null."""
    text: ColumnElement[Any] = column.op("->>", return_type=Text())(literal(key, Text))
    return text.is_(None)


def json_value(value: object, type_: Type) -> Constant | None:
    """A decoded JSON value read as `type_`; None when it is missing."""
    if type_ is Type.NUMBER:
        return _number(value)
    if type_ is Type.FLAG:
        return (
            value
            if isinstance(value, bool)
            else {"true": True, "false": False}.get(str(value) if isinstance(value, str) else "")
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _digits(value)
    return value if isinstance(value, str) else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    if isinstance(value, str) and re.fullmatch(_NUMBER[1:-1], value):
        return Decimal(value)
    return None


def _digits(value: float | Decimal) -> str:
    text = format(Decimal(str(value)), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
