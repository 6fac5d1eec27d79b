"""How long put-off messages wait: longer each time, within their lifetime."""

from datetime import timedelta

import pytest

from campaigns.retry_waits import RETRY_WAITS, retry_waits


@pytest.mark.parametrize("message_class", ["bulk", "transactional"])
@pytest.mark.parametrize("hours", [1, 6, 24, 120, 240])
def test_waits_grow_and_fit_into_the_lifetime(message_class, hours):
    """
    No wait is shorter than the one before, all of them fit into the lifetime, and one more would not (S-1.29).
    """
    lifetime = timedelta(hours=hours)
    waits = retry_waits(message_class, lifetime)

    assert sorted(waits) == list(waits)
    assert sum(waits, timedelta(0)) <= lifetime
    assert lifetime < sum(waits, max(waits[-1], timedelta(minutes=5))) + timedelta(hours=12)


def test_bulk_is_tried_for_four_days_at_least():
    """
    The default is what RFC 5321 section 4.5.4.1 asks for; somebody who waits is served sooner.
    """
    assert timedelta(days=4) <= sum(RETRY_WAITS, timedelta(0)) <= timedelta(days=5)
    assert retry_waits("transactional", timedelta(days=5))[0] == timedelta(seconds=30)


def test_a_short_lifetime_still_allows_one_more_attempt():
    """
    Even a lifetime of a second leaves one wait: a message is never failed by the first "later".
    """
    assert (timedelta(minutes=5),) == retry_waits("bulk", timedelta(seconds=1))
