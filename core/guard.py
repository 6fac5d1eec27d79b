"""Cells that a spreadsheet would run as a formula: guarded on the way out, freed on the way in (S-9.6)."""

import csv
from collections.abc import Iterable
from typing import Final

_FORMULA_STARTS: Final = frozenset("=+-@\t\r\0")


def guarded(cell: str) -> str:
    """The cell as an export may hold it: an apostrophe stands before what would be a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def unguarded(cell: str) -> str:
    """The cell without the apostrophe that `guarded` adds; any other apostrophe stays (`'t Hooft`)."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Apostrophes before a formula count too: so `unguarded` undoes `guarded` for every text."""
    start = cell[:1]
    if start == "'":
        start = cell.lstrip("'")[:1]
    return start in _FORMULA_STARTS


class GuardedWriter:
    """Writes RFC 4180 rows whose cells no spreadsheet runs."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._writer = csv.writer(stream)  # type: ignore[arg-type]  # any object with write()

    def write(self, cells: Iterable[str]) -> None:
        """One row is written, CRLF at its end."""
        self._writer.writerow([guarded(cell) for cell in cells])
