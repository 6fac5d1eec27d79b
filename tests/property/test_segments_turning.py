"""Between two turns of a rule, time alone changes nothing."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from segments.facts import Facts
from segments.membership import audience, rule
from segments.turning import Turn, first_turn, turns
from tests.property.test_segments_agreement import AGES, NOW, VOCABULARY, expressions, people

_MOMENT = timedelta(microseconds=1)
__all__ = ["people"]  # a fixture
#: On turns, and beside them: of orders of long ago, and of such as are still to come.
SINCE = st.sampled_from([NOW + shift for shift in (-AGES[3], -AGES[1], -_MOMENT, 0 * _MOMENT, _MOMENT, AGES[6])])


@settings(max_examples=60)
@given(expressions, SINCE)
def test_nobody_comes_or_goes_before_the_first_turn(
    people: tuple[Connection, Mapping[int, Facts]], expression: str, since
) -> None:
    """
    Whoever a rule selects at an instant, it selects until just before its first turn; one without a turn, for ever.
    """
    connection, _ = people
    known = turns(rule(expression, VOCABULARY))
    assume(known is not None)
    turn = first_turn(connection, known, since)
    assume(turn is None or turn > since)
    before = since + timedelta(days=4000) if turn is None else turn - _MOMENT

    def selected(now):
        return set(connection.execute(audience(expression, VOCABULARY, now=now)).scalars())

    assert selected(since) == selected(before)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('country == "DE" and company is present', set()),
        ('in_segment("both")', {Turn("customer_metrics", "last_order_at", timedelta(days=30)),
                                Turn("activity", "occurred_at")}),
        ('created_at is newer_than("1d")', {Turn("customer", "created_at", timedelta(days=1))}),
        ('count("purchase", within="30d", before="1d") > 1',
         {Turn("purchase", "ordered_at", timedelta(days=days)) for days in (1, 30)}),
        ('not clicked("spring", within="7d")', {Turn("hit", "occurred_at", timedelta(days=days)) for days in (0, 7)}),
        ("recency_days > 3", None),
    ],
)  # fmt: skip
def test_rule_turns_with_what_it_asks_for(expression, expected):
    """
    The instants a rule looks at, with each length it counts back; none where it asks for no time; None where it
    counts up to now.
    """
    found = turns(rule(expression, VOCABULARY))

    assert expected == (None if found is None else set(found))
