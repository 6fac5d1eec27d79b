"""Spans and times of day by people's own clocks, with every vector for changes of clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from core.cron import last_due, next_time
from core.local_time import Span, earlier, later, nearest_local, next_local, parse_span, shown_in, zone_or
from core.units import Unfit, local_instant
from tests.clock_changes import CLOCK_CHANGES, TIMES


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("3d", Span(3), "3d"),
        ("1w", Span(7), "7d"),
        ("72h", Span(0, timedelta(hours=72)), "72h"),
        ("1d 12h", Span(1, timedelta(hours=12)), "1d 12h"),
        ("90m", Span(0, timedelta(minutes=90)), "1h 30m"),
        ("1w2d 5s", Span(9, timedelta(seconds=5)), "9d 5s"),
    ],
)
def test_days_of_a_span_are_kept_apart_from_hours(text, expected, shown):
    """
    Three days are not seventy-two hours; the text that is shown is read back as the same span.
    """
    assert expected == parse_span(text)
    assert (shown, expected) == (str(expected), parse_span(shown))
    assert f'"{shown}"'.encode() == TypeAdapter(Span).dump_json(TypeAdapter(Span).validate_python(text))


@pytest.mark.parametrize("text", ["", "3", "0d", "1.5d", "-1d", "3 days", 3, None, "40000d", "1d and 2h"])
def test_what_is_no_span_is_refused(text):
    """
    Whatever is not a whole number of known units above zero is told what was expected.
    """
    with pytest.raises(Unfit, match="a length of time"):
        parse_span(text)


@pytest.mark.parametrize(
    ("wall", "zone", "expected"),
    [
        ("2026-03-08T02:30", "America/New_York", "2026-03-08T07:30"),  # S-8.2: runs at 03:30 EDT
        ("2026-11-01T01:30", "America/New_York", "2026-11-01T05:30"),  # S-8.2: the first
        ("2007-03-11T02:30", "America/New_York", "2007-03-11T07:30"),  # S-7.8: RFC 5545, 03:30 EDT
        ("2007-11-04T01:30", "America/New_York", "2007-11-04T05:30"),  # S-7.8: EDT
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:45"),  # S-8.2: 02:45 at +11
        ("2011-12-30T09:00", "Pacific/Apia", "2011-12-30T19:00"),  # S-8.2: a day that was skipped
    ],
)
def test_every_vector_of_a_changed_clock_holds_everywhere(wall, zone, expected):
    """
    A day's span, the next time of day and a schedule meet the instant that the standard names, and only once.
    """
    expected, wall = utc(expected), datetime.fromisoformat(wall)
    before = local_instant(wall - timedelta(days=1), zone)

    assert expected == local_instant(wall, zone)
    assert expected == later(before, Span(1), zone)
    assert expected == next_local(before + timedelta(seconds=1), zone, wall.time())
    cron = f"{wall.minute} {wall.hour} {wall.day} * *"
    assert expected == next_time(cron, zone, before) == last_due(cron, zone, before, expected)
    assert next_time(cron, zone, expected) > expected + timedelta(days=20)


@pytest.mark.parametrize("change", CLOCK_CHANGES, ids=str)
def test_a_month_around_a_clock_change_is_as_written_down(change):
    """
    Each day of the month has each time of day once, at the instant of the table: by schedule, by span and by wait.
    """
    for at in TIMES:
        expected = change.daily(at)
        start = expected[0] - timedelta(seconds=1)
        cron, scheduled, waited = f"{at.minute} {at.hour} * * *", [start], [start]
        for _ in expected:
            scheduled.append(next_time(cron, change.zone, scheduled[-1]))
            waited.append(next_local(waited[-1] + timedelta(seconds=1), change.zone, at))

        assert expected == scheduled[1:] == waited[1:]
        assert expected == [later(expected[0], Span(days), change.zone) for days in range(len(expected))]
        assert expected == [last_due(cron, change.zone, start, instant) for instant in expected]


def test_a_day_is_by_the_wall_clock_and_24_hours_are_not():
    """
    S-8.3: across a change a day keeps the time of day, 24 hours do not; hours of one span count after its days.
    """
    noon = utc("2026-03-07T17:00")

    assert utc("2026-03-08T16:00") == later(noon, parse_span("1d"), "America/New_York")
    assert utc("2026-03-08T17:00") == later(noon, parse_span("24h"), "America/New_York")
    assert utc("2026-03-08T18:00") == later(noon, parse_span("1d 2h"), "America/New_York")
    assert noon == earlier(utc("2026-03-08T18:00"), parse_span("1d 2h"), "America/New_York")


def test_hours_from_within_a_repeated_hour_are_absolute():
    """
    An hour after the second half past one is half past two, not the first half past one again.
    """
    second = utc("2026-11-01T06:30")

    assert utc("2026-11-01T07:30") == later(second, parse_span("1h"), "America/New_York")


def test_steps_of_a_frequent_schedule_come_once_in_a_gap_and_rest_in_a_repeated_hour():
    """
    Half-hourly times that a gap merges come once; of a repeated hour only the first is used.
    """
    zone = ZoneInfo("America/New_York")

    def shown(start, count):
        found, moment = [], utc(start)
        for _ in range(count):
            moment = next_time("*/30 * * * *", "America/New_York", moment)
            found.append(f"{moment.astimezone(zone):%H:%M %Z}")
        return found

    assert ["01:30 EST", "03:00 EDT", "03:30 EDT", "04:00 EDT"] == shown("2026-03-08T06:00", 4)
    assert ["01:00 EDT", "01:30 EDT", "02:00 EST"] == shown("2026-11-01T04:30", 3)


def test_weekdays_are_those_that_were_meant():
    """
    A wait until Monday or Tuesday starts today when its time has not passed; Apia's skipped Friday came on Saturday.
    """
    assert utc("2026-11-23T08:00") == next_local(utc("2026-11-23T08:00"), "Europe/Berlin", time(9), ["mon"])
    assert utc("2026-11-24T08:00") == next_local(utc("2026-11-23T08:01"), "Europe/Berlin", time(9), ["mon", "tue"])
    assert utc("2026-11-30T08:00") == next_local(utc("2026-11-23T08:01"), "Europe/Berlin", time(9), ["mon"])
    assert utc("2011-12-30T19:00") == next_local(utc("2011-12-28T00:00"), "Pacific/Apia", time(9), ["fri"])
    with pytest.raises(ValueError, match="at least one weekday"):
        next_local(utc("2026-11-23T08:00"), "Europe/Berlin", time(9), [])


def test_a_schedule_that_never_comes_is_told_from_a_rare_one():
    """
    30 February never comes; 29 February on a Monday comes every 28 years.
    """
    assert next_time("0 0 30 feb *", "UTC", utc("2026-01-01")) is None
    assert last_due("0 0 30 feb *", "UTC", utc("1990-01-01"), utc("2026-01-01")) is None
    assert utc("2044-02-29") == next_time("0 0 29 feb mon", "UTC", utc("2026-01-01"))
    assert utc("2016-02-29") == last_due("0 0 29 feb mon", "UTC", utc("1990-01-01"), utc("2026-01-01"))


def test_an_unknown_zone_gives_way_to_the_default():
    """
    Who has no zone, or one that nobody knows, goes by the default.
    """
    zones = ["Asia/Shanghai", None, "", "Mars/Olympus"]

    assert ["Asia/Shanghai", *["Europe/Berlin"] * 3] == [zone_or(zone, "Europe/Berlin") for zone in zones]


def test_an_instant_is_shown_with_its_offset() -> None:
    """
    By the clock of the zone, to the minute or to the second; nobody has to guess whose time it is.
    """
    summer, winter = datetime(2026, 7, 1, 10, 0, 9, tzinfo=UTC), datetime(2026, 12, 1, 10, tzinfo=UTC)

    assert ["2026-07-01 12:00 +02:00", "2026-12-01 11:00 +01:00"] == [
        shown_in("Europe/Berlin", at) for at in (summer, winter)
    ]
    assert "2026-07-01 10:00:09 UTC" == shown_in("UTC", summer, "seconds")


def test_an_instant_of_local_mean_time_is_shown_with_the_seconds_of_its_offset():
    """
    Before 1893 clocks in Berlin were ahead by 53 minutes and 28 seconds; none of it is cut off.
    """
    long_ago = datetime(1890, 1, 1, tzinfo=UTC)

    assert "1890-01-01 00:53:28 +00:53:28" == shown_in("Europe/Berlin", long_ago, "seconds")
    assert "1890-01-01 00:53 +00:53:28" == shown_in("Europe/Berlin", long_ago)


@pytest.mark.parametrize(
    ("base", "zone", "at", "days", "expected"),
    [
        ("2026-03-04T08:00", "Europe/Berlin", "09:00", None, "2026-03-04T08:00"),  # it is nine there
        ("2026-03-04T07:00", "Europe/Berlin", "09:00", None, "2026-03-04T08:00"),  # an hour was taken off
        ("2026-03-04T09:00", "Europe/Berlin", "09:00", None, "2026-03-04T08:00"),  # an hour was put on
        ("2026-03-04T23:30", "Europe/Berlin", "00:00", None, "2026-03-04T23:00"),  # on the next day, by its clock
        ("2026-03-08T07:30", "America/New_York", "02:30", None, "2026-03-08T07:30"),  # skipped: half past three
        ("2026-03-01T22:40", "Europe/Berlin", "00:10", ["mon"], "2026-03-01T23:10"),  # a Monday, though Sunday still
        ("2026-03-04T08:00", "Europe/Berlin", "09:00", ["sat"], "2026-03-04T08:00"),  # none is near: it stays
        ("2026-03-04T00:00", "America/New_York", "09:00", None, "2026-03-04T00:00"),  # meant where it is nine: in Tokyo
    ],
)
def test_nearest_time_of_day_is_the_one_that_was_meant(base, zone, at, days, expected):
    """
    S-8.1: the rules of a zone change by hours; what was meant by an instant is the nearest time of day that fits.
    """
    assert utc(expected) == nearest_local(utc(base), zone, time.fromisoformat(at), days)
