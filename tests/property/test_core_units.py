"""Durations survive being written and read again, and no text makes a unit fail but by saying what it expected."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import (
    LONGEST,
    Unfit,
    format_duration,
    local_instant,
    parse_cron,
    parse_duration,
    parse_share,
    parse_wall_time,
    parse_zone,
)

_numbers = st.one_of(st.integers(0, 10**15).map(str), st.decimals(0, 1000, places=3).map(str))
_durations = st.lists(st.builds(str.__add__, _numbers, st.sampled_from(["s", "m", "h", "d", "w", " d ", "y"]))).map(
    "".join
)
_cron_words = st.text("0123456789*/-,monsujan²", max_size=6)
_texts = st.one_of(_durations, st.lists(_cron_words, min_size=5, max_size=5).map(" ".join), st.text(max_size=30))
_values = st.one_of(_texts, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.integers(), max_size=2))


@given(st.integers(min_value=1, max_value=int(LONGEST.total_seconds())))
def test_duration_written_is_read_back(seconds: int) -> None:
    """
    Reading what was written gives the same length, for every whole number of seconds.
    """
    length = timedelta(seconds=seconds)

    assert length == parse_duration(format_duration(length))


@given(_durations)
def test_duration_read_is_written_and_read_back(text: str) -> None:
    """
    Whatever is taken as a duration is the same after it was stored.
    """
    try:
        length = parse_duration(text)
    except Unfit:
        return

    assert timedelta(seconds=1) <= length <= LONGEST
    assert length == parse_duration(format_duration(length))


@pytest.mark.parametrize("parse", [parse_duration, parse_share, parse_cron, parse_wall_time, parse_zone])
@given(value=_values)
def test_any_value_is_read_or_unfit(parse: Callable[[object], object], value: object) -> None:
    """
    A value is read, or refused with what was expected; nothing else is raised.
    """
    with contextlib.suppress(Unfit):
        assert parse(value) is not None


@given(st.datetimes(), st.sampled_from(sorted(available_timezones())))
def test_wall_time_that_is_taken_is_an_instant_everywhere(wall: object, zone: str) -> None:
    """
    No zone's offset carries a time that was accepted out of the calendar.
    """
    try:
        moment = parse_wall_time(wall)
    except Unfit:
        return

    assert abs(local_instant(moment, zone).replace(tzinfo=None) - moment) <= timedelta(hours=16)
