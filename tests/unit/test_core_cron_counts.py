"""Times of a schedule are counted as they would be told one by one, on days of clock changes too."""

from datetime import UTC, datetime, timedelta

import pytest

from core.cron import Times, next_time, times_within

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana", "Pacific/Apia")
DAYS = (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2011, 12, 29, tzinfo=UTC))


def one_by_one(cron, zone, begin, end):
    found = []
    at = next_time(cron, zone, begin - timedelta(microseconds=1))
    while at is not None and at < end:
        found.append(at)
        at = next_time(cron, zone, at)
    return Times(len(found), found[0], found[-1]) if found else None


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["*/15 * * * *", "30 2 * * *", "0 9 1 * *", "*/30 0,23 * * sun"])
def test_counted_as_told_one_by_one(cron, zone):
    """
    For whole days and parts of them.
    """
    for begin in DAYS:
        for length in (timedelta(hours=5), timedelta(days=1), timedelta(days=3)):
            told = one_by_one(cron, zone, begin, begin + length)
            assert told == times_within(cron, zone, begin, begin + length)


def test_schedule_that_never_comes_has_no_times():
    """
    The thirtieth of February.
    """
    assert times_within("0 0 30 2 *", "UTC", DAYS[0], DAYS[0] + timedelta(days=400)) is None
