"""Schedules agree with APScheduler's wherever no clock changes, and with themselves everywhere."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.cron import last_due, next_time
from core.units import CRON_FIELDS, parse_cron


@st.composite
def schedules(draw):
    """Five fields, each `*`, a number, a range, a step or two of them."""
    return parse_cron(" ".join(draw(_field(low, high, words)) for _, low, high, words in CRON_FIELDS))


@st.composite
def _field(draw, low, high, words):
    def shown(number):
        return words[number - low] if words else str(number)

    ends = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    spread = ends.map(lambda pair: f"{shown(pair[0])}-{shown(pair[1])}")
    every = st.integers(1, high - low).map(lambda step: f"*/{step}")
    number = st.integers(low, high).map(shown)
    part = st.one_of(st.just("*"), number, spread, *([] if words else [every]))
    return ",".join(draw(st.lists(part, min_size=1, max_size=2)))


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "America/Santiago"])
moments = st.integers(0, 6 * 366 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(max_examples=40)
@given(schedules(), zones, moments)
def test_the_next_time_is_the_one_apscheduler_finds_where_no_clock_changes(cron, zone, after):
    """
    Two readings of five fields find the same next time, unless a clock changes between.
    """
    following = CronTrigger.from_crontab(cron, timezone=zone).get_next_fire_time(
        None, after + timedelta(microseconds=1)
    )
    assume(following is not None and following - after < timedelta(days=3000))
    around = (after - timedelta(days=2), following + timedelta(days=2))
    assume(len({moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in around}) == 1)
    assume(around[1] - around[0] < timedelta(days=100))  # longer ago, clocks may have been changed and changed back

    assert following == next_time(cron, zone, after)


@settings(max_examples=40)
@given(schedules(), zones, moments, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_the_last_due_time_is_the_last_of_all_that_follow(cron, zone, after, length):
    """
    Walking from one time to the next ends at the last due time, clock changes or not.
    """
    now, walked = after + length, None
    moment = next_time(cron, zone, after)
    for _ in range(400):
        if moment is None or moment > now:
            break
        walked, moment = moment, next_time(cron, zone, moment)
    else:
        assume(False)

    assert walked == last_due(cron, zone, after, now)
    assert walked is None or after < walked <= now
