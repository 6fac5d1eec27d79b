"""Durations survive being written and read again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.units import format_duration, parse_duration


@given(st.integers(min_value=1, max_value=10**9))
def test_duration_written_is_read_back(seconds):
    """
    Reading what was written gives the same length, for every whole number of seconds.
    """
    length = timedelta(seconds=seconds)

    assert length == parse_duration(format_duration(length))
