"""A statement as a person reads it."""

import re
from typing import Final

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql

_QUOTED: Final = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
_BREAKS: Final = re.compile(r"(\(|\)| ?\n ?| AND )")


def readable_sql(statement: Select[tuple[int]]) -> str:
    """The statement with its parameters filled in, one condition a line. Clarion never runs it."""
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return _indented(str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})))


def _indented(text: str) -> str:
    """Lines indented by the brackets they stand in; quoted texts stay as they are."""
    depth, written = 0, []
    for place, piece in enumerate(_QUOTED.split(text)):
        if place % 2:
            written.append(piece)
            continue
        for part in _BREAKS.split(piece):
            depth += {"(": 1, ")": -1}.get(part, 0)
            written.append(_broken(part, depth))
    return "".join(written)


def _broken(part: str, depth: int) -> str:
    if part == " AND ":
        return f"\n{'  ' * (depth + 1)}AND "
    return "\n" + "  " * depth if "\n" in part else part
