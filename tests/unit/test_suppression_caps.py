"""The days, weeks and months by which caps count, in the organisation's zone."""

from datetime import UTC, datetime

import pytest

from suppression.caps import Cap, Rules, periods


@pytest.mark.parametrize(
    ("each", "zone", "now", "first", "following"),
    [
        ("day", "UTC", "2026-03-04T12:00", "2026-03-04T00:00", "2026-03-05T00:00"),
        ("day", "Asia/Tokyo", "2026-03-04T16:00", "2026-03-04T15:00", "2026-03-05T15:00"),
        ("week", "UTC", "2026-03-04T12:00", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("week", "UTC", "2026-03-02T00:00", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("week", "UTC", "2026-03-08T23:59:59", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("month", "UTC", "2026-12-31T23:00", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        # In Berlin the day on which the clock is put forward has 23 hours, the other one 25.
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("month", "Europe/Berlin", "2026-03-31T21:59", "2026-02-28T23:00", "2026-03-31T22:00"),
    ],
)
def test_period_is_that_of_the_organisations_calendar(each, zone, now, first, following):
    """
    A period begins at its first midnight there, and ends where the next one begins.
    """

    def at(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert (at(first), at(following)) == periods(each, zone, at(now))


def test_only_caps_about_the_topic_and_the_channel_are_asked():
    """
    A cap of one topic does not hold mail about another, and a cap of all topics holds every one.
    """
    names = {"all": (None, None), "news": ("news", None), "mail": (None, "email"), "phone": (None, "phone")}
    caps = tuple(Cap(name, 1, None, "day", "person", topic, channel, 0) for name, (topic, channel) in names.items())

    assert ["all", "mail"] == [cap.name for cap in Rules(caps).about("promotions")]
    assert ["all", "news", "mail"] == [cap.name for cap in Rules(caps).about("news")]
