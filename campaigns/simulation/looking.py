"""Sequences look at segments and rules less often in a rehearsal: thirty days of looks every ten minutes are 4,320."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from core.schema import sequence_version
from core.units import format_duration, parse_duration

_USUAL = "10m"  # as `look_every` is where a file does not say


def look_apart(connection: Connection, apart: timedelta) -> None:
    """No sequence looks at its segment, or at what its people wait for, sooner than `apart` after the last look.

    Changes versions of the rehearsal's own world. Repeat: safe.
    """
    for version_id, definition in connection.execute(
        select(sequence_version.c.id, sequence_version.c.definition)
    ).all():
        changed = [_is_raised(part, apart) for part in _looking(definition["file"])]
        if any(changed):
            row = update(sequence_version).where(sequence_version.c.id == version_id)
            connection.execute(row.values(definition=definition))


def _looking(file: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a stored sequence that say how often something is looked at."""
    if file["enrol"].get("segment"):
        yield file["enrol"]
    for step in file["steps"].values():
        if (step.get("wait") or {}).get("for"):
            yield step["wait"]


def _is_raised(part: dict[str, Any], apart: timedelta) -> bool:
    if parse_duration(part.get("look_every", _USUAL)) >= apart:
        return False
    part["look_every"] = format_duration(apart)
    return True
