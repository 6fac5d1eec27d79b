"""Which column of a file is which field: as the user says with `--map`, else by well-known headers."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import ImportFailed, UsageError
from core.names import did_you_mean, near_miss
from customers.importing.rejects import REJECT_COLUMNS

#: field → headers it is known by, the surest first. Compared without case, blanks and punctuation.
Fields = Mapping[str, Sequence[str]]
ATTRIBUTES: Final = "attributes."
IGNORED: Final = "-"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the fields of one file are; `attributes` are the columns that are no field, with their names."""

    places: Mapping[str, int]
    attributes: tuple[tuple[int, str], ...]

    def __contains__(self, field: str) -> bool:
        return field in self.places

    def reader(self, field: str) -> Callable[[Sequence[str]], str]:
        """A function from the cells of a row to the field's text, stripped; "" where there is no such column."""
        if field not in self.places:
            return lambda _cells: ""
        place = self.places[field]
        return lambda cells: cells[place].strip()

    def picker(self, *fields: str) -> Callable[[Sequence[str]], list[str]]:
        """A function from the cells of a row to the texts of `fields`, as `reader` gives them, in one go: a third of
        the time for rows of many fields."""
        places = [self.places.get(field) for field in fields]
        return lambda cells: ["" if place is None else cells[place].strip() for place in places]

    def attribute_texts(self, cells: Sequence[str]) -> dict[str, str]:
        """The cells that are no field and not empty, by attribute name."""
        return {name: text for place, name in self.attributes if (text := cells[place].strip())}


def match_columns(header: Sequence[str], fields: Fields, mapping: Mapping[str, str]) -> Columns:
    """The fields of a file with `header`. `mapping` (column → field, `attributes.NAME`, or `-` to leave the
    column out) goes first; of several columns for one field the surest header wins, the others are attributes.

    Raises:
        UsageError: `mapping` names a column the file lacks or a field there is not, or a field twice.
    """
    _check_mapping(header, fields, mapping)
    ignored = {column for column, field in mapping.items() if field == IGNORED} | set(REJECT_COLUMNS)
    named = {c: f.removeprefix(ATTRIBUTES) for c, f in mapping.items() if f.startswith(ATTRIBUTES)}
    places = {field: header.index(column) for column, field in mapping.items() if field in fields}
    free = {_plain(c): p for p, c in reversed(list(enumerate(header))) if c not in mapping and c not in ignored}
    for field, headers in fields.items():
        known = (free[plain] for plain in map(_plain, (field, *headers)) if plain in free)
        if field not in places and (place := next((p for p in known if p not in places.values()), None)) is not None:
            places[field] = place
    taken = set(places.values())
    attributes = tuple(
        (place, named.get(column, column.strip().removeprefix(ATTRIBUTES) or column))
        for place, column in enumerate(header)
        if place not in taken and column not in ignored
    )
    return Columns(places, attributes)


def _check_mapping(header: Sequence[str], fields: Fields, mapping: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for column, field in mapping.items():
        if column not in header:
            raise UsageError(f"--map: the file has no column {column!r}", hint=did_you_mean(column, header))
        if field == IGNORED or (field.startswith(ATTRIBUTES) and field != ATTRIBUTES):
            continue
        if field not in fields:
            hint = did_you_mean(field, fields, limit=len(fields)) + "; or attributes.NAME, or - to leave it out"
            raise UsageError(f"--map: there is no field {field!r}", hint=hint)
        if field in seen:
            raise UsageError(f"--map: both {seen[field]!r} and {column!r} are mapped to {field}")
        seen[field] = column


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Column → field from texts `column=field`; the last `=` parts them, so columns may hold one.

    Raises:
        UsageError: a text without `=`, or a column twice.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        column, equals, field = pair.rpartition("=")
        if not equals or not column or not field:
            raise UsageError(f"--map: got {pair!r}, expected COLUMN=FIELD")
        if column in mapping:
            raise UsageError(f"--map: column {column!r} is mapped twice")
        mapping[column] = field.strip()
    return mapping


def require(columns: Columns, *alternatives: Sequence[str], header: Sequence[str]) -> None:
    """Each of `alternatives` has at least one of its fields in the file (`a+b` stands for both together).

    Raises:
        ImportFailed: naming everything that is missing.
    """
    missing = [
        " or ".join(choices)
        for choices in alternatives
        if not any(all(part in columns for part in choice.split("+")) for choice in choices)
    ]
    if missing:
        raise ImportFailed(
            f"the file has no column for {'; '.join(missing)} (got columns {', '.join(header)})",
            hint="name them with --map COLUMN=FIELD",
        )


def left_out(columns: Iterable[str], whose: str, fields: Collection[str]) -> tuple[str, ...]:
    """A remark on `columns`, which are no fields of the kind that `whose` names (`purchases have`); none where there
    are none. `fields`: those that no column is, one of which may be meant."""
    named = [
        f"{column} (did you mean {near!r}?)" if (near := near_miss(column, fields)) else column for column in columns
    ]
    return (f"left out, because {whose} no such field: {', '.join(named)}",) if named else ()


def _plain(header: str) -> str:
    folded = unicodedata.normalize("NFKC", header).casefold()
    return "".join(char for char in folded if char.isalnum())
