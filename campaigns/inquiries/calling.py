"""When somebody is called, by their own clock."""

from datetime import datetime

from core.errors import UsageError
from core.local_time import zone_or
from core.settings import Settings
from core.units import Unfit, local_instant, parse_wall_time


def zone_of(zone: str | None, settings: Settings) -> str:
    """The customer's zone, or the organisation's where theirs is not known."""
    return zone_or(zone, settings.organisation.zone)


def local_time(wall: str, zone: str | None, settings: Settings) -> datetime:
    """The instant (UTC) at which it is `wall` where the customer lives. A time that a clock change leaves out is meant
    with the offset before, one that comes twice is the first (S-8.2).

    Raises:
        UsageError: `wall` is no date and time.
    """
    try:
        return local_instant(parse_wall_time(wall.strip()), zone_of(zone, settings))
    except Unfit as error:
        raise UsageError(f"this is no time to call: {error}") from None
