"""When a campaign's messages may go: instants from wall times and zones."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from zoneinfo import available_timezones

from campaigns.versions import Version
from core.units import local_instant


def zone_of(version: Version) -> str:
    """The zone of the campaign's schedule; the organisation's when it names none or `recipient`."""
    schedule = version.definition.schedule
    if schedule is None or schedule.zone in (None, "recipient"):
        return version.organisation.zone
    return str(schedule.zone)


def in_recipient_zone(version: Version) -> bool:
    """Whether everybody gets it at the same local time rather than at the same instant."""
    schedule = version.definition.schedule
    return schedule is not None and schedule.at is not None and schedule.zone == "recipient"


def first_instant(version: Version, now: datetime) -> datetime | None:
    """The instant the campaign starts in its own zone, never before `now`; None for a recurring one (UTC)."""
    schedule = version.definition.schedule
    if schedule is None:
        return now
    if schedule.at is None:
        return None
    return max(now, local_instant(schedule.at, zone_of(version)))


def instants_by_zone(version: Version, zones: Iterable[str | None], now: datetime) -> Mapping[str | None, datetime]:
    """For each zone of the recipients, the instant their messages may go, never before `now`.

    A zone that is missing or unknown uses the organisation's. A place whose time has passed is served at once.
    """
    schedule = version.definition.schedule
    start = first_instant(version, now) or now
    if not in_recipient_zone(version) or schedule is None or schedule.at is None:
        return dict.fromkeys(zones, start)
    known = available_timezones()
    own = version.organisation.zone
    return {
        zone: max(now, local_instant(schedule.at, zone if zone in known else own)).astimezone(UTC) for zone in zones
    }
