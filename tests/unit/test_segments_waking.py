"""Which rules only activities can make true: whoever waits for one of them is not looked at otherwise."""

import pytest

from segments.membership import rule
from segments.vocabulary import Vocabulary
from segments.waking import wakers

VOCABULARY = Vocabulary({}, frozenset(), None, passage=True)


@pytest.mark.parametrize(
    ("asked", "alone"),
    [
        ('did("a")', True),
        ('did("a", before="1d")', False),
        ('count("a") >= 2', True),
        ('count("a") >= frequency_score', False),
        ('did("a") and country == "DE"', False),
        ('did("purchase")', False),
    ],
)
def test_waking_by_activities_alone(asked: str, alone: bool) -> None:
    """
    Time, fields and orders tell nobody: a rule that they can make true has to be looked at.
    """
    assert alone is wakers(rule(asked, VOCABULARY)).alone
