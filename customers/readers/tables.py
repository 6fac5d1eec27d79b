"""A CSV or TSV file as a header and numbered rows, read as a stream (RFC 4180, S-9.7)."""

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from core.errors import ImportFailed
from core.guard import unguarded
from customers.readers.delimiters import Delimiter, detect_delimiter, parse_delimiter
from customers.readers.encodings import Detected, detect
from customers.readers.opening import open_bytes

MAX_COLUMNS: Final = 1_000
MAX_ROWS: Final = 50_000_000
#: Characters of one cell: a long text with its markup fits, what a stray quote swallows is bounded.
MAX_CELL: Final = 2**20
_SAMPLE = 256 * 2**10
#: UTF-7 and the escape codecs can make these of a file; no database takes them.
_SURROGATES = re.compile("[\ud800-\udfff]")

csv.field_size_limit(MAX_CELL)


class Row(NamedTuple):
    """One record. `number` is the line of the file it starts in; `fault` says why it cannot be read. A record with
    broken quoting gives a row for each of its lines, and `cells` holds the raw line."""

    number: int
    cells: Sequence[str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One file, its form known, its header read."""

    path: Path
    header: tuple[str, ...]
    detected: Detected
    delimiter: Delimiter

    @property
    def form(self) -> str:
        """What was detected, for the person who imports."""
        encoding = self.detected.encoding.removesuffix("-sig").upper().replace("_", "-")
        return f"{encoding} ({self.detected.because}), parted by {self.delimiter.shown}"

    def rows(self) -> Iterator[Row]:
        """The rows after the header, blank ones left out, short ones filled up. Each call reads the file anew.

        Raises:
            ImportFailed: the bytes do not fit the encoding, a quote is never closed, there are too many rows.
        """
        records = _records(self.path, self.detected.encoding, self.delimiter)
        next(records)
        width = len(self.header)
        for count, row in enumerate(records, 1):
            if count > MAX_ROWS:
                raise ImportFailed(f"too many rows (expected at most {MAX_ROWS:,})", where=str(self.path))
            yield row if row.fault or len(row.cells) == width else _fitted(row, width)


def open_table(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """The table in `path`; encoding and delimiter are detected unless given.

    Raises:
        UsageError: the given encoding or delimiter is none.
        ImportFailed: the file cannot be read, has no header, or has too many columns.
    """
    detected = detect(path, encoding)
    sample = _start(path, detected.encoding)
    chosen = detect_delimiter(
        sample,
        is_whole=len(sample) < _SAMPLE,
        override=None if delimiter is None else parse_delimiter(delimiter),
    )
    first = next(_records(path, detected.encoding, chosen), None)
    if first is None:
        raise ImportFailed("the file is empty (expected a header line)", where=str(path))
    if first.fault:
        raise ImportFailed(f"the header cannot be read: {first.fault}", where=f"{path}:{first.number}")
    if len(first.cells) > MAX_COLUMNS:
        raise ImportFailed(
            f"too many columns (got {len(first.cells):,}, expected at most {MAX_COLUMNS:,})",
            where=str(path),
            hint="is the delimiter right? give --delimiter",
        )
    return Table(path, _distinct([name.strip() for name in first.cells]), detected, chosen)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Column names, each once: a repeated or empty one gets its column's number."""
    counts = Counter(names)
    return tuple(
        name if name and counts[name] == 1 else f"{name or 'column'} {position}"
        for position, name in enumerate(names, 1)
    )


def _fitted(row: Row, width: int) -> Row:
    missing = width - len(row.cells)
    if missing > 0:
        return row._replace(cells=[*row.cells, *[""] * missing])
    if not any(row.cells[width:]):
        return row._replace(cells=row.cells[:width])
    return row._replace(fault=f"more cells than the header (got {len(row.cells)}, expected {width})")


def _start(path: Path, encoding: str) -> str:
    """The first characters, wrong bytes replaced."""
    try:
        with _open_text(path, encoding, errors="replace") as text:
            return text.read(_SAMPLE)
    except UnicodeError as error:  # such as UTF-16 without a byte order mark
        raise _wrong_encoding(error, encoding, f"{path}:1") from None


@contextlib.contextmanager
def _open_text(path: Path, encoding: str, *, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
    with open_bytes(path) as content:
        text = io.TextIOWrapper(content, encoding=encoding, errors=errors, newline="")
        try:
            yield text
        finally:
            text.detach()


class _Lines:
    """The lines of a text without NUL, which PostgreSQL cannot hold. `of_record` are those read since it was cleared;
    `has_apostrophe` says whether any had one since it was set to False."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.of_record: list[str] = []
        self.has_apostrophe = False

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            line = line.replace("\0", "") if "\0" in line else line
            self.of_record.append(line)
            if not line.isascii() and (found := _SURROGATES.search(line)):
                raise UnicodeError(f"U+{ord(found[0]):04X}")
            if "'" in line:
                self.has_apostrophe = True
            yield line


def _records(path: Path, encoding: str, delimiter: Delimiter) -> Iterator[Row]:
    """Every record that is not blank, the header first."""
    with _open_text(path, encoding) as text:
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=delimiter.character, strict=True)
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield from _faulty(lines.of_record, start, error, path)
                cells = []
            except UnicodeError as error:
                raise _wrong_encoding(error, encoding, f"{path}:{start}") from None
            lines.of_record.clear()
            number, start = start, reader.line_num + 1
            if number > delimiter.preamble_count and any(cells):
                if lines.has_apostrophe:
                    cells = [unguarded(cell) for cell in cells]
                    lines.has_apostrophe = False
                yield Row(number, cells)


def _faulty(lines: Sequence[str], start: int, error: csv.Error, path: Path) -> Iterator[Row]:
    """A row for each line: a stray quote swallows the lines up to the next one, and none may be lost. A quote without
    end swallows the rest of the file: that is refused."""
    is_too_long = "field limit" in str(error)
    if "unexpected end" in str(error) or (is_too_long and len(lines) > 1):
        where = f"{path}:{start}"
        raise ImportFailed("a quote opened in this row is never closed", where=where, hint="mend the row") from None
    fault = f"broken quoting: {error}"
    if is_too_long:
        fault = f"a cell is too long (expected at most {MAX_CELL:,} characters)"
    elif len(lines) > 1:
        fault = f"broken quoting between lines {start} and {start + len(lines) - 1}: {error}"
    for number, line in enumerate(lines, start):
        if raw := line.rstrip("\r\n"):
            yield Row(number, [raw], fault)


def _wrong_encoding(error: UnicodeError, encoding: str, where: str) -> ImportFailed:
    got = f"byte 0x{error.object[error.start]:02X}" if isinstance(error, UnicodeDecodeError) else str(error)
    return ImportFailed(
        f"not {encoding.removesuffix('-sig').upper()} text (got {got} after this row)",
        where=where,
        hint="give another --encoding, or leave it out to have it detected",
    )
