"""Durations, shares, zones and schedules as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from core.units import (
    Size,
    format_duration,
    format_size,
    known_zones,
    local_instant,
    parse_cron,
    parse_duration,
    parse_share,
    parse_size,
    parse_wall_time,
    parse_zone,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", timedelta(minutes=90)),
        ("14d", timedelta(days=14)),
        ("1d 12h", timedelta(hours=36)),
        ("1d12h", timedelta(hours=36)),
        ("2 w", timedelta(weeks=2)),
        ("1.5h", timedelta(minutes=90)),
    ],
)
def test_duration_is_read(text, expected):
    """
    Numbers with the units s, m, h, d and w add up.
    """
    assert expected == parse_duration(text)


@pytest.mark.parametrize("value", ["", "14", "d", "14 days", "0d", "-1d", 14, None, True])
def test_duration_that_is_none_says_what_was_expected(value):
    """
    Anything else, and nothing at all, is refused with an example.
    """
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5 MB", 5_000_000), ("5MB", 5_000_000), ("1.5 mb", 1_500_000), ("740 KB", 740_000), ("50 MB", 50_000_000)],
)
def test_size_is_read(text, expected):
    """
    A kilobyte is a thousand octets, a megabyte a million; what is read says itself as people do.
    """
    assert expected == parse_size(text) == parse_size(parse_size(text))
    assert expected == parse_size(str(parse_size(text)))


@pytest.mark.parametrize("value", ["", "5", 5, "5 GB", "0 MB", "-1 MB", "50.1 MB", "5 MB each", None, True])
def test_size_that_is_none_says_what_was_expected(value):
    """
    Anything else is refused with an example: a number without a unit could be either.
    """
    with pytest.raises(ValueError, match="expected a size such as '5 MB'"):
        parse_size(value)


def test_size_is_a_text_to_editors():
    """
    The JSON Schema of a size asks for a text, as people write it, not for a number.
    """
    assert "string" == TypeAdapter(Size).json_schema()["type"]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (1, "1 KB"),
        (1001, "2 KB"),
        (999_000, "999 KB"),
        (999_001, "1 MB"),
        (1_000_001, "1.1 MB"),
        (12_340_000, "12.4 MB"),
    ],
)
def test_size_is_shown_rounded_up(octets, expected):
    """
    What exceeds a limit never looks as if it met it.
    """
    assert expected == format_size(octets)


@pytest.mark.parametrize(("value", "expected"), [("10%", 0.1), ("10 %", 0.1), (0.1, 0.1), (1, 1.0), ("0%", 0.0)])
def test_share_is_read(value, expected):
    """
    A share is a percentage or a number from 0 to 1.
    """
    assert expected == parse_share(value)


@pytest.mark.parametrize("value", ["110%", 10, -0.1, "0.1", "x%", True, None])
def test_share_outside_the_range_is_refused(value):
    """
    10 is not taken for 10 %: the reader could not know which was meant.
    """
    with pytest.raises(ValueError, match="expected a share"):
        parse_share(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("99999999999999d", "at most 36525d"),
        ("1" * 400 + "d", "at most 36525d"),
        ("0.5s", "whole seconds"),
        ("0.0000001s", "whole seconds"),
        ("1.5s", "whole seconds"),
        ("0.33m", "whole seconds"),
        ("٣d", "a duration such as"),
    ],
)
def test_duration_out_of_bounds_is_refused(text, expected):
    """
    What cannot be added to a date, or not be written back, is no duration.
    """
    with pytest.raises(ValueError, match=expected):
        parse_duration(text)


def test_zone_near_miss_is_named():
    """
    A misspelt zone is refused with the one likely meant.
    """
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        parse_zone("Europe/Berln")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30 8 * * mon", "30 8 * * mon"), ("*/15  9-17 *  jan-mar MON,wed", "*/15 9-17 * jan-mar mon,wed")],
)
def test_cron_is_normalised(text, expected):
    """
    Five fields are brought to single blanks and lower case.
    """
    assert expected == parse_cron(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("61 8 * * mon", "minute"),
        ("0 24 * * *", "hour"),
        ("0 8 0 * *", "day of month"),
        ("0 8 * 13 *", "month"),
        ("0 8 * * 1", "day of week"),
        ("0 8 * * mun", "day of week"),
        ("0 17-9 * * *", "hour"),
        ("0 8/2 * * *", "hour"),
        ("0 */0 * * *", "hour"),
        ("0 8 * * mon,", "day of week"),
        ("² * * * *", "minute"),
        ("*/60 * * * *", "minute"),
        ("*/² * * * *", "minute"),
        ("9" * 5000 + " * * * *", "minute"),
    ],
)
def test_cron_mistake_is_named_by_its_field(text, place):
    """
    The message names the field which is wrong; days of the week by number are refused as ambiguous.
    """
    with pytest.raises(ValueError, match=f"as the {place} of"):
        parse_cron(text)


@pytest.mark.parametrize("text", ["", "daily", "0 8 * *", "0 8 * * * *", None])
def test_cron_needs_five_fields(text):
    """
    Another number of fields is refused with an example.
    """
    with pytest.raises(ValueError, match="expected five fields"):
        parse_cron(text)


def test_wall_time_with_offset_is_refused():
    """
    A local time names its place in `zone`, not by an offset.
    """
    with pytest.raises(ValueError, match="without offset"):
        parse_wall_time("2026-12-01T09:00+01:00")


@pytest.mark.parametrize("text", ["0001-01-01T00:00", "9999-12-31T23:00", "1999-12-31T23:59", "2026-12-01T09:00:00.5"])
def test_wall_time_of_another_age_is_refused(text):
    """
    A year that no zone's offset can be applied to, or a fraction that is not kept, is a slip of the pen.
    """
    with pytest.raises(ValueError, match="whole seconds in the years 2000 to 2999"):
        parse_wall_time(text)


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        (datetime.fromisoformat("2026-07-01T09:00"), datetime(2026, 7, 1, 7, 0, tzinfo=UTC)),
        (
            datetime.fromisoformat("2026-03-29T02:30"),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        ),  # skipped: offset before the gap
        (datetime.fromisoformat("2026-10-25T02:30"), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # repeated: the first
    ],
)
def test_local_instant_is_defined_when_clocks_change(wall, expected):
    """
    A time that a clock change skips or repeats still means one instant (S-8.2).
    """
    assert expected == local_instant(wall, "Europe/Berlin")


def test_duration_is_written_shortest():
    """
    The text has the largest units that fit.
    """
    assert "1w" != format_duration(timedelta(weeks=1))
    assert "7d" == format_duration(timedelta(weeks=1))
    assert "1d 12h" == format_duration(timedelta(hours=36))


def test_zones_of_many_rows_are_looked_up_once():
    """
    The zone database is read once a process: an import checks a zone in each of its rows.
    """
    before = known_zones.cache_info().misses
    for _ in range(100):
        parse_zone("Europe/Berlin")

    assert known_zones.cache_info().misses - before <= 1
