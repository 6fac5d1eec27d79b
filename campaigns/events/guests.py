"""Who registered, as a table: for name tags, or the caterer."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from core.guard import GuardedWriter
from customers.joining import FIELDS

_BEFORE: Final = ("registration", "state", "customer", "email", "language")
_AFTER: Final = ("source", "registered_at", "offered_until", "checked_in_at", "last_mail", "mail_state")


def write_guests(rows: Iterable[Mapping[str, Any]], fields: Iterable[str], path: Path) -> None:
    """The registrations, as `listing.attendees` tells them, are in `path`, a CSV file in UTF-8. Each of the `fields`
    has a column."""
    asked = [name for name in fields if name not in FIELDS]
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = GuardedWriter(stream)
        writer.write((*_BEFORE, *FIELDS, *asked, *_AFTER))
        for row in rows:
            writer.write(_cells(row, asked))


def _cells(row: Mapping[str, Any], asked: Iterable[str]) -> Iterator[str]:
    """Names as they registered, else as we know them."""
    answers = row["answers"]
    for value in (
        *(row[name] for name in _BEFORE), *(answers.get(name) or row[name] for name in FIELDS),
        *(answers.get(name) for name in asked), *(row[name] for name in _AFTER),
    ):  # fmt: skip
        yield "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
