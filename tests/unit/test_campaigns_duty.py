"""Setbacks: what failed within a duty is let alone for a while, whatever the clock does."""

from datetime import UTC, datetime, timedelta

from campaigns.duty import Setbacks

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_what_failed_is_let_alone_for_longer_each_time():
    """
    A second, two, four, and so on up to a minute; what went well begins anew.
    """
    setbacks = Setbacks()
    pauses = [setbacks.note("weekly", "no such thing", NOON).total_seconds() for _ in range(1100)]

    assert [1, 2, 4, 8, 16, 32, 60, 60] == pauses[:8]
    assert 60 == pauses[-1]
    assert setbacks.pauses("weekly", NOON + timedelta(seconds=59))
    assert not setbacks.pauses("weekly", NOON + timedelta(seconds=60))
    assert {"weekly": "no such thing"} == setbacks.faults
    setbacks.heal("weekly")
    assert timedelta(seconds=1) == setbacks.note("weekly", "again", NOON)


def test_a_clock_set_back_ends_the_pause():
    """
    S-8.10: what failed at noon is tried at once when the clock says an hour less.
    """
    setbacks = Setbacks()
    setbacks.note("weekly", "no such thing", NOON)

    assert setbacks.pauses("weekly", NOON)
    assert not setbacks.pauses("weekly", NOON - timedelta(hours=1))
