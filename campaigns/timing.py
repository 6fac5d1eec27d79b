"""When a campaign's messages may go: instants from wall times and zones."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, false, or_

from campaigns.versions import Version
from core.local_time import next_local, zone_or
from core.schema import customer
from core.units import known_zones, local_instant

#: The skip reason of people whose local time is over when their campaign begins (`schedule.when_passed: skip`).
TIME_PASSED = "time_passed"


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

    A zone that is missing or unknown uses the organisation's. Where the time has passed it is now, or the next time
    that clocks there show it, as `schedule.when_passed` says (S-8.4); those to be skipped have no message.
    """
    schedule = version.definition.schedule
    start = first_instant(version, now) or now
    if not in_recipient_zone(version) or schedule is None or schedule.at is None:
        return dict.fromkeys(zones, start)
    own, found = version.organisation.zone, {}
    for zone in zones:
        known = zone_or(zone, own)
        instant = local_instant(schedule.at, known)
        is_put_off = instant < now and schedule.when_passed == "next_day"
        found[zone] = next_local(now, known, schedule.at.time()) if is_put_off else max(now, instant)
    return found


def has_passed(version: Version, now: datetime) -> ColumnElement[bool]:
    """Whether a customer gets nothing because their local time is over."""
    schedule = version.definition.schedule
    if not in_recipient_zone(version) or schedule is None or schedule.at is None or schedule.when_passed != "skip":
        return false()
    coming = [zone for zone in sorted(known_zones()) if local_instant(schedule.at, zone) >= now]
    is_over = customer.c.zone.not_in(coming)
    if version.organisation.zone in coming:  # so it is for those whose zone is missing or unknown
        return is_over & customer.c.zone.in_(sorted(known_zones()))
    return or_(customer.c.zone.is_(None), is_over)
