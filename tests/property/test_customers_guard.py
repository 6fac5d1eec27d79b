"""Cells survive the way out and in again, and no spreadsheet runs one."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.guard import GuardedWriter, guarded
from customers.readers.tables import open_table

CELLS = st.text(
    st.one_of(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), st.sampled_from("'=+-@,;\"\n\r\t")),
    max_size=12,
)  # fmt: skip


@given(cell=st.text(max_size=20))
def test_guarded_cell_is_no_formula(cell: str) -> None:
    """
    Whatever the text, a spreadsheet does not take its export for a formula.
    """
    assert guarded(cell)[:1] not in frozenset("=+-@\t\r\0") - {""}


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_exported_cells_come_back_as_they_were(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """
    Reading a file that the guarded writer wrote gives the same cells, blank rows left out.
    """
    path = tmp_path / "cells.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = GuardedWriter(stream)
        for row in [("first column", "second column"), *rows]:
            writer.write(row)

    table = open_table(path, delimiter="comma")

    assert [list(row) for row in rows if any(row)] == [list(row.cells) for row in table.rows()]
