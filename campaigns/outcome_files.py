"""A file of outcomes by Message-ID: what another mail server or a provider says became of messages."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from core.errors import UsageError
from core.names import near_miss

_LONGEST_FIELD: Final = 10_000
_SEPARATORS: Final = ",;\t|"
_IDS: Final = frozenset({"message-id", "messageid"})


class Outcome(StrEnum):
    """What became of a message."""

    ACCEPTED = "accepted"  #: taken by the mail server
    DELIVERED = "delivered"  #: taken by the receiving server
    BOUNCED = "bounced"  #: came back after it was taken
    FAILED = "failed"  #: refused for good
    REJECTED = "rejected"  #: the same
    DEFERRED = "deferred"  #: taken, and still tried by the mail server
    NEVER_RECEIVED = "never_received"  #: the mail server never had it: it is sent again


_WORDS: Final = tuple(outcome.value for outcome in Outcome)
#: What others call the same.
_ELSEWHERE: Final = {
    "arrived": "delivered", "received": "delivered", "sent": "accepted", "queued": "accepted", "bounce": "bounced",
    "not_received": "never_received", "dropped": "failed", "error": "failed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that says nothing: its line in the file, from 1, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class Outcomes:
    """What the file says, by Message-ID in lower case without brackets; the last row of one counts."""

    found: dict[str, Outcome] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)


def read_outcomes(path: Path, advance: Callable[[int], None] = lambda _bytes: None) -> Outcomes:
    """The rows of a CSV file with the columns `message-id` and `outcome`, in any order, case and with any separator.

    Read row by row. `advance` is told of bytes read.

    Raises:
        UsageError: the file cannot be read, or has no such columns.
    """
    outcomes = Outcomes()
    before = csv.field_size_limit()  # is of the whole process: imports have another one
    try:
        with path.open("rb") as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            _read(_counted(text, raw, advance), str(path), outcomes)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    finally:
        csv.field_size_limit(before)
    return outcomes


def _counted(text: io.TextIOWrapper, raw: IO[bytes], advance: Callable[[int], None]) -> Iterator[str]:
    done = 0
    for line in text:
        place = raw.tell()
        if place != done:
            advance(place - done)
            done = place
        yield line.replace("\0", "")


def _read(lines: Iterator[str], name: str, outcomes: Outcomes) -> None:
    above, head = next(((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, ""))
    separator = max(_SEPARATORS, key=head.count)
    columns = _columns(next(csv.reader([head], delimiter=separator), []), name)
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(lines, delimiter=separator)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            outcomes.rejected.append(RejectedRow(above + rows.line_num, f"not readable as CSV: {error}"))
            continue
        if any(cell.strip() for cell in row):
            _take(row, columns, above + rows.line_num, outcomes)


def _columns(head: Sequence[str], name: str) -> tuple[int, int]:
    plain = [cell.strip().strip('"').lower().replace("_", "-").replace(" ", "-") for cell in head]
    ids = [place for place, cell in enumerate(plain) if cell in _IDS]
    ends = [place for place, cell in enumerate(plain) if cell == "outcome"]
    if len(ids) != 1 or len(ends) != 1:
        raise UsageError(
            f"{name} has no columns 'message-id' and 'outcome' in its first line (got {', '.join(plain)[:200]!r})",
            hint="begin the file with the line: message-id,outcome",
        )
    return ids[0], ends[0]


def _take(row: Sequence[str], columns: tuple[int, int], line: int, outcomes: Outcomes) -> None:
    if len(row) <= max(columns):
        outcomes.rejected.append(
            RejectedRow(line, f"too few columns (got {len(row)}, expected {max(columns) + 1} or more)")
        )
        return
    message_id = row[columns[0]].strip().removeprefix("<").removesuffix(">").strip().lower()
    word = row[columns[1]].strip().lower().replace("-", "_").replace(" ", "_")
    if "@" not in message_id:
        outcomes.rejected.append(RejectedRow(line, f"not a Message-ID (got {message_id[:100]!r})"))
    elif word not in _WORDS:
        expected = f"unknown outcome (got {word[:100]!r}, expected one of {', '.join(_WORDS)})"
        close = _ELSEWHERE.get(word) or near_miss(word[:100], _WORDS)
        outcomes.rejected.append(RejectedRow(line, f"{expected}; did you mean {close!r}?" if close else expected))
    else:
        outcomes.found[message_id] = Outcome(word)
