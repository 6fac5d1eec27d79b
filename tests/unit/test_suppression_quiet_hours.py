"""Quiet hours: by the recipient's own clock, weekend and holidays, on every kind of day."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from suppression.quiet_hours import Place, QuietHours

NIGHT = {"start": time(21), "end": time(8)}


def quiet(*, start=None, end=None, weekends=False, holidays=False, country=None):
    return QuietHours(start, end, weekends, holidays, "Europe/Berlin", country, "subdivision")


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def until(rule, moment, zone="Europe/Berlin", country=None, subdivision=None):
    """The wall time there when it may go again; None: at once."""
    found = rule.until(Place(zone, country, subdivision), at(moment, zone))
    return found.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M") if found else None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-02T20:59:59", None),
        ("2026-03-02T21:00", "2026-03-03T08:00"),
        ("2026-03-02T23:59:59", "2026-03-03T08:00"),
        ("2026-03-03T00:00", "2026-03-03T08:00"),
        ("2026-03-03T07:59:59", "2026-03-03T08:00"),
        ("2026-03-03T08:00", None),
    ],
)
def test_quiet_hours_span_midnight(moment, expected):
    """
    From nine in the evening until eight in the morning nothing goes, to the second (S-8.5).
    """
    assert expected == until(quiet(**NIGHT), moment)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("2026-03-02T11:59", None), ("2026-03-02T12:00", "2026-03-02T14:00"), ("2026-03-02T14:00", None)],
)
def test_quiet_hours_may_lie_within_a_day(moment, expected):
    """
    A midday rest ends the same day.
    """
    assert expected == until(quiet(start=time(12), end=time(14)), moment)


@pytest.mark.parametrize(
    ("zone", "moment", "rule", "expected"),
    [
        # The clock goes from 02:00 to 03:00: half past two never comes, and quiet ends when the clock jumps.
        ("America/New_York", "2026-03-08T01:30", {"start": time(1), "end": time(2, 30)}, "2026-03-08T03:00"),
        ("America/New_York", "2026-03-08T03:00", {"start": time(1), "end": time(2, 30)}, None),
        ("America/New_York", "2026-03-07T23:00", NIGHT, "2026-03-08T08:00"),
        # The clock goes from 02:00 back to 01:00.
        ("America/New_York", "2026-10-31T23:00", NIGHT, "2026-11-01T08:00"),
        # Half an hour only.
        ("Australia/Lord_Howe", "2026-10-04T01:50", {"start": time(1), "end": time(2, 10)}, "2026-10-04T02:30"),
        # Midnight itself is left out: the day begins at one.
        ("America/Santiago", "2026-09-05T23:30", {"start": time(23), "end": time(0)}, "2026-09-06T01:00"),
    ],
)
def test_quiet_hours_end_on_days_when_clocks_change(zone, moment, rule, expected):
    """
    What counts is the clock on the recipient's wall, also on the two days a year when it jumps.
    """
    assert expected == until(quiet(**rule), moment, zone)


def test_a_quiet_hour_that_comes_twice_is_quiet_twice():
    """
    From one to two in the morning nothing goes, though that hour comes again an hour later.
    """
    rule, zone = quiet(start=time(1), end=time(2)), ZoneInfo("America/New_York")
    first = datetime(2026, 11, 1, 1, 30, tzinfo=zone).astimezone(UTC)
    again = datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=zone).astimezone(UTC)
    place = Place("America/New_York")

    assert datetime(2026, 11, 1, 7, 0, tzinfo=UTC) == rule.until(place, first)
    assert datetime(2026, 11, 1, 7, 0, tzinfo=UTC) == rule.until(place, again)


@pytest.mark.parametrize(
    ("country", "days"),
    [
        ("DE", "Saturday Sunday"),
        ("EG", "Friday Saturday"),
        ("IL", "Friday Saturday"),
        ("AE", "Saturday Sunday"),
        ("NP", "Saturday Sunday"),
        ("IR", "Friday"),
        ("BN", "Friday Sunday"),
        (None, "Saturday Sunday"),
        ("Atlantis", "Saturday Sunday"),
    ],
)
def test_weekends_are_those_of_the_recipients_country(country, days):
    """
    A weekend is Friday and Saturday where it is, and Saturday and Sunday where the country is not known.
    """
    week = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in range(9, 16)]
    rule = quiet(weekends=True)

    resting = [moment.strftime("%A") for moment in week if rule.until(Place("UTC", country), moment)]
    assert days == " ".join(resting)


@pytest.mark.parametrize(
    ("moment", "country", "subdivision", "expected"),
    [
        ("2026-12-24T12:00", "DE", None, None),
        ("2026-12-25T12:00", "DE", None, "2026-12-27T00:00"),  # two days of Christmas, then a Sunday
        ("2027-01-06T12:00", "DE", None, None),
        ("2027-01-06T12:00", "DE", "BY", "2027-01-07T00:00"),  # Epiphany, in some states
        ("2027-01-06T12:00", "DE", "Bayern", "2027-01-07T00:00"),
        ("2027-01-06T12:00", "DE", "Nowhere", None),
        ("2026-12-25T12:00", "CN", None, None),
        ("2026-12-25T12:00", None, None, None),
    ],
)
def test_holidays_are_those_of_the_country_and_the_part_of_it(moment, country, subdivision, expected):
    """
    A holiday of one state is none in the next; where the part is not known, the whole country's count.
    """
    assert expected == until(quiet(holidays=True), moment, "Europe/Berlin", country, subdivision)


def test_days_off_and_nights_are_one_stretch_of_quiet():
    """
    From Friday evening over the weekend and Easter Monday, quiet ends on Tuesday morning.
    """
    rule = quiet(**NIGHT, weekends=True, holidays=True)

    assert "2026-04-07T08:00" == until(rule, "2026-04-02T22:00", country="DE")


def test_a_working_saturday_is_no_weekend():
    """
    In China a Saturday may be worked in exchange for a bridging day.
    """
    rule = quiet(weekends=True, holidays=True)

    assert until(rule, "2026-02-14T12:00", "Asia/Shanghai", "CN") is None
    assert "2026-03-09T00:00" == until(rule, "2026-03-07T12:00", "Asia/Shanghai", "CN")


@pytest.mark.parametrize(
    ("zone", "country", "attributes", "expected"),
    [
        (None, None, {}, Place("Europe/Berlin", "AT", None)),
        ("Mars/Phobos", "DE", None, Place("Europe/Berlin", "DE", None)),
        ("Asia/Tokyo", "JP", {"subdivision": "13"}, Place("Asia/Tokyo", "JP", "13")),
        ("Asia/Tokyo", None, {"subdivision": "13"}, Place("Asia/Tokyo", "AT", None)),
    ],
)
def test_a_place_falls_back_to_the_workspaces(zone, country, attributes, expected):
    """
    A customer without zone or country is taken to live where the workspace says; a part without its country is nothing.
    """
    assert expected == quiet(country="AT").place(zone, country, attributes)


@pytest.mark.parametrize("country", ["utils", "registry", "HolidayBase", "Germany", "de", ""])
def test_a_country_without_a_calendar_has_no_holidays(country):
    """
    Whatever stands in the column of one customer, weekends are Saturday and Sunday there and nothing else is off.
    """
    rule = quiet(weekends=True, holidays=True)

    assert until(rule, "2026-12-25T12:00", "UTC", country) is None
    assert "2026-12-28T00:00" == until(rule, "2026-12-26T12:00", "UTC", country)
