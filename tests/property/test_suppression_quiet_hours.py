"""Quiet hours against a walk through time, minute by minute."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from suppression.quiet_hours import Place, QuietHours

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "UTC")
quarters = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
#: Around the days when clocks change, and any other time.
moments = st.one_of(
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-09-06", "2026-10-04", "2026-10-25", "2026-11-01"])
    .map(lambda day: datetime.fromisoformat(day).replace(tzinfo=UTC))
    .flatmap(lambda day: st.integers(-1440, 2880).map(lambda minutes: day + timedelta(minutes=minutes))),
    st.integers(0, 3_000_000).map(lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)),
)  # fmt: skip


def is_quiet(rule, moment, zone):
    """The same rule said plainly: by the clock on the wall, now."""
    local = moment.astimezone(ZoneInfo(zone))
    if rule.weekends and local.weekday() >= 5:
        return True
    clock = local.time()
    if rule.start < rule.end:
        return rule.start <= clock < rule.end
    return clock >= rule.start or clock < rule.end


@given(moments, st.sampled_from(ZONES), quarters, quarters, st.booleans())
def test_until_is_the_first_minute_that_is_not_quiet(moment, zone, start, end, weekends):
    """
    Nothing between the moment and `until` may go, and at `until` it may, by the clock on the recipient's wall.
    """
    if start == end:
        return
    rule = QuietHours(start, end, weekends, False, "UTC", None, "subdivision")
    found = rule.until(Place(zone), moment)
    if found is None:
        assert not is_quiet(rule, moment, zone)
        return
    assert is_quiet(rule, moment, zone)
    assert not is_quiet(rule, found, zone)
    between = moment
    while (between := between + timedelta(minutes=7)) < found:
        assert is_quiet(rule, between, zone)
    assert is_quiet(rule, found - timedelta(seconds=1), zone)
