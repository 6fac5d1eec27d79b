"""Which character parts the cells, judged by whole records, so that commas inside quotes do not count."""

import csv
import io
from dataclasses import dataclass
from typing import Final

from core.errors import UsageError

#: In the order of preference when two fit equally well.
CANDIDATES: Final = (",", ";", "\t", "|")
_NAMES: Final = {
    "comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t",
}  # fmt: skip
_RECORDS = 50


@dataclass(frozen=True, slots=True)
class Delimiter:
    """The character, and how many lines before the header only name it (Excel's `sep=;`)."""

    character: str
    preamble_count: int = 0

    @property
    def shown(self) -> str:
        return (
            next(name for name, character in _NAMES.items() if character == self.character)
            if self.character in _NAMES.values()
            else repr(self.character)
        )


def parse_delimiter(text: str) -> str:
    """A delimiter from one character or its name (comma, semicolon, tab, pipe).

    Raises:
        UsageError: anything else.
    """
    character = _NAMES.get(text.lower(), text)
    if len(character) != 1 or character in '"\r\n':
        raise UsageError(f"not a delimiter (got {text!r}, expected one character, or comma, semicolon, tab, pipe)")
    return character


def detect_delimiter(sample: str, *, is_whole: bool, override: str | None = None) -> Delimiter:
    """The delimiter of a file that begins with `sample`: the one that gives most records as many cells as the
    header has, and the header at least two. A file of one column gets a comma."""
    first_line, _, rest = sample.partition("\n")
    preamble_count = 0
    if first_line.strip().strip('"').lower().startswith("sep="):
        preamble_count, sample = 1, rest
        named = first_line.strip().strip('"')[4:5] or "\t"
        return Delimiter(override or named, preamble_count)
    if override is not None:
        return Delimiter(override)
    best = max(CANDIDATES, key=lambda character: _fit(sample, character, is_whole))
    return Delimiter(best if _fit(sample, best, is_whole) > (0.0, 0) else ",")


def _fit(sample: str, delimiter: str, is_whole: bool) -> tuple[float, int]:
    """(share of records as wide as the header, width of the header)."""
    widths = []
    for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
        if cells:
            widths.append(len(cells))
        if len(widths) > _RECORDS:
            break
    else:
        widths = widths if is_whole or len(widths) < 2 else widths[:-1]  # the last record may be cut off
    if not widths or widths[0] < 2:
        return 0.0, 0
    return sum(1 for width in widths if width == widths[0]) / len(widths), widths[0]
