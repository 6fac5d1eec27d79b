"""Points in time as people write them: a local time with the name of its place, or with its distance from UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from core.units import Unfit, local_instant, parse_wall_time, parse_zone, quoted

_EXPECTED: Final = "a time such as '2026-03-02T09:00', '2026-03-02T09:00 Europe/Berlin' or '2026-03-02T08:00Z'"


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time as it was written. `zone`: an IANA time zone; None: its reader's, or none needed."""

    wall: datetime  # naive; aware where it was written with its distance from UTC
    zone: str | None = None

    def at(self, zone: str) -> datetime:
        """The instant (UTC), read in `zone` where it names none. Clock changes: as S-8.2."""
        if self.wall.tzinfo is not None:
            return self.wall.astimezone(UTC)
        return local_instant(self.wall, self.zone or zone)

    def __str__(self) -> str:
        shown = self.wall.isoformat(timespec="minutes" if not self.wall.second else "seconds")
        return f"{shown} {self.zone}" if self.zone else shown


def parse_instant(value: object) -> Instant:
    """The point in time of a text.

    Raises:
        Unfit: it is none.
    """
    if isinstance(value, Instant):
        return value
    words = value.split() if isinstance(value, str) else []
    names_place = len(words) > 1 and ("/" in words[-1] or words[-1] == "UTC")
    zone = parse_zone(words.pop()) if names_place else None
    try:
        wall = datetime.fromisoformat("T".join(words))
    except ValueError:
        raise Unfit(quoted(value), _EXPECTED) from None
    parse_wall_time(wall.replace(tzinfo=None))
    if wall.tzinfo is not None and zone is not None:
        raise Unfit(quoted(value), "either a place or a distance from UTC")
    return Instant(wall, zone)


def _shown(instant: Instant) -> Any:
    return str(instant)


InstantText = Annotated[
    Instant,
    BeforeValidator(parse_instant),
    PlainSerializer(_shown, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["2026-03-02T09:00", "2026-03-02T09:00 Europe/Berlin"]}),
]
