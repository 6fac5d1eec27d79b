"""The rejects file: every row that was not imported, with its reason, ready to be mended and imported again."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core.errors import ImportFailed, UsageError
from core.guard import GuardedWriter
from customers.readers.tables import Table

#: The columns put before the original ones; an import ignores them.
REJECT_COLUMNS: Final = ("rejected_row", "rejected_because")


def write_rejects(table: Table, reasons: Mapping[int, str], given: Path | None = None) -> Path | None:
    """The rows whose numbers are in `reasons` are in a CSV file beside the original, or in the current folder
    when that one cannot be written to, or at `given`. Its path; None when there are no reasons.

    Raises:
        UsageError: `given` is the file that is being imported.
        ImportFailed: the file cannot be written.
    """
    if given is not None and given.exists() and given.samefile(table.path):
        raise UsageError(
            f"--rejects: {str(given)!r} is the file that is being imported", hint="name another file for the rejects"
        )
    if not reasons:
        return None
    path = given or _beside(table.path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # With a byte order mark, so that spreadsheet programs see that it is UTF-8.
        with draft.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = GuardedWriter(stream)
            writer.write((*REJECT_COLUMNS, *table.header))
            for row in table.rows():
                if row.number in reasons:
                    writer.write((str(row.number), reasons[row.number], *row.cells))
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ImportFailed(
            f"the rejects file cannot be written: {error.strerror}", where=str(path), hint="give --rejects PATH"
        ) from None
    return path


def _beside(path: Path) -> Path:
    folder = path.parent if os.access(path.parent, os.W_OK) else Path.cwd()
    return folder / f"{path.name}.rejects.csv"
