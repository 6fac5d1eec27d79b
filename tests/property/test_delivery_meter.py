"""The arithmetic of rates, against a plain simulation and against what it promises."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from delivery.throttles.booking import slots
from delivery.throttles.cuts import FLOOR, RECOVERED_AFTER, cut, factor_at
from delivery.throttles.limits import Limit
from delivery.throttles.meter import BURST, SHARE_S, Meter, shared_out

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
rates = st.sampled_from([1 / 3600, 0.1, 1.0, 2.5, 10.0, 100.0, 1000.0])
#: How long each caller comes after the one before, in milliseconds, and how many it wants.
calls = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 600), st.booleans()), min_size=1, max_size=40)


def _run(rate: float, arrivals: list[tuple[int, int, bool]], *, with_urgent: bool) -> list[tuple[Fraction, int]]:
    """What a meter lets through: seconds since the start, and how many."""
    meter, at, went = Meter(rate), Fraction(0), []
    for wait_ms, wanted, urgent in arrivals:
        at += Fraction(wait_ms, 1000)
        now = START + timedelta(seconds=float(at))
        count = min(wanted, meter.free(now, urgent=urgent and with_urgent, booked=False))
        if count:
            meter = meter.taken(count, now)
            went.append((at, count))
    return went


@given(rate=rates, arrivals=calls)
def test_meter_agrees_with_a_plain_reference(rate, arrivals):
    """
    Reference: an account in messages that drains at the rate. Nothing goes while it is in debt; what is late makes up
    for half a second, and nothing is saved up over a longer pause.
    """
    exact = Fraction(rate)
    paid_until, at, expected = Fraction(-10), Fraction(0), []
    for wait_ms, wanted, _ in arrivals:
        at += Fraction(wait_ms, 1000)
        if at < paid_until:
            continue
        count = min(wanted, max(1, int(exact * Fraction(SHARE_S))))
        paid_until = (paid_until if at - paid_until <= Fraction(1, 2) else at) + count / exact
        expected.append((at, count))
    actual = _run(rate, arrivals, with_urgent=False)

    # Instants of the database are whole microseconds: a caller within one of them may be let through or not.
    assert expected[:1] == actual[:1]
    assert abs(sum(count for _, count in expected) - sum(count for _, count in actual)) <= max(1, int(rate * SHARE_S))


@given(rate=rates, arrivals=calls)
def test_meter_never_lets_more_through_than_the_rate(rate, arrivals):
    """
    In any window no more goes than the rate allows for it, and one burst of a second.
    """
    went = _run(rate, arrivals, with_urgent=True)

    for first in range(len(went)):
        for last in range(first, len(went)):
            length = went[last][0] - went[first][0]
            total = sum(count for _, count in went[first : last + 1])
            burst = 2 * BURST.total_seconds() + SHARE_S
            assert total <= rate * (float(length) + burst) + 2


@given(rate=rates, arrivals=calls)
def test_those_with_a_time_keep_the_rate_too(rate, arrivals):
    """
    Messages whose time was booked may come a little early, together never more than the rate and two shares.
    """
    meter, at, went = Meter(rate), Fraction(0), []
    for wait_ms, wanted, _ in arrivals:
        at += Fraction(wait_ms, 4000)
        now = START + timedelta(seconds=float(at))
        if count := min(wanted, meter.free(now, urgent=False, booked=True)):
            meter = meter.taken(count, now)
            went.append((at, count))

    for first in range(len(went)):
        total = sum(count for _, count in went[first:])
        carried = BURST.total_seconds() + 2 * SHARE_S
        assert total <= rate * (float(went[-1][0] - went[first][0]) + carried) + 2


@given(rate=rates, ahead_ms=st.integers(0, 5000))
def test_urgent_messages_stay_within_a_second_of_the_rate(rate, ahead_ms):
    """
    However far the meter is ahead, an urgent caller is let through up to one second, and told when it may come.
    """
    meter = Meter(rate, START + timedelta(milliseconds=ahead_ms))
    count = meter.free(START, urgent=True, booked=False)
    first = meter.first(START, urgent=True)

    assert count <= max(1, rate)
    assert first >= START
    assert meter.free(first + timedelta(microseconds=2), urgent=True, booked=False) >= 1


@given(total=st.integers(0, 300), wanted=st.dictionaries(st.text("abc", min_size=1), st.integers(0, 100), min_size=1))
def test_sharing_out_gives_everything_and_nobody_too_much(total, wanted):
    """
    The whole is shared out unless everybody has all they want, each within one of their proportion.
    """
    given_out = shared_out(total, wanted)

    assert min(total, sum(wanted.values())) == sum(given_out.values())
    assert all(0 <= given_out[name] <= count for name, count in wanted.items())
    heads = sum(wanted.values())
    if heads > total:
        assert all(abs(given_out[name] - count * total / heads) < 1 for name, count in wanted.items())


@given(
    line_rate=st.none() | rates,
    domain_rates=st.dictionaries(st.sampled_from(["a", "b", "c"]), rates),
    wanted=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 400), min_size=1),
    urgent=st.booleans(),
)
def test_everybody_who_waits_has_exactly_one_time(line_rate, domain_rates, wanted, urgent):
    """
    Slots hold as many of each domain as wait, none in the past, and few enough to be rows of a table.
    """
    line = Limit("transport:main", meter=Meter(line_rate) if line_rate else None)
    limits = {name: Limit(name, meter=Meter(domain_rates[name]) if name in domain_rates else None) for name in wanted}
    found = slots(line, limits, wanted, START, urgent=urgent)
    counted: Counter[str] = Counter()
    for slot in found:
        counted[slot.domain] += slot.count

    assert wanted == counted
    assert all(slot.not_before >= START and slot.count > 0 for slot in found)
    # A share lasts an eighth of a second at least (just below 8/s it is one message), and half a minute is cut up.
    assert len(found) <= 241 * len(wanted)


@given(factor=st.floats(FLOOR, 1), minutes=st.integers(0, 600))
def test_cut_halves_and_recovers(factor, minutes):
    """
    A cut leaves half of what was left, never less than the floor; after twenty minutes it is as if it had not been.
    """
    now = START + timedelta(minutes=minutes)
    before = factor_at(factor, START, now)
    after = cut(factor, START, now)

    assert factor <= before <= 1
    assert (after is None) == (minutes == 0)
    if after is not None:
        assert max(FLOOR, before / 2) == after
        assert 1 == factor_at(after, now, now + RECOVERED_AFTER)
