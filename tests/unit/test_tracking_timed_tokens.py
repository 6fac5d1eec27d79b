"""Tokens that end: forged, expired and cross-purpose ones are worth nothing."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Purpose, Signer

SECRET = b"0123456789abcdef0123456789abcdef"
TOKENS = TimedTokens(SECRET)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@given(st.sampled_from(TimedPurpose), st.integers(0, 2**48 - 1), st.integers(1, 10**9))
def test_token_says_what_was_signed(purpose: TimedPurpose, subject: int, length: int) -> None:
    """
    A token names its subject until the second it ends.
    """
    ends_at = NOON + timedelta(seconds=length)
    token = TOKENS.sign(purpose, subject, ends_at)
    found = TOKENS.verify(purpose, token, NOON)

    assert found is not None
    assert (purpose, subject, ends_at) == (found.purpose, found.subject_id, found.ends_at)


def test_token_ends_at_its_second() -> None:
    """
    It is good just before its end, and no more at it; then its holder can be told so.
    """
    token = TOKENS.sign(TimedPurpose.CONFIRM, 7, LATER)
    just_before = LATER - timedelta(microseconds=1)

    assert TOKENS.verify(TimedPurpose.CONFIRM, token, just_before)
    assert not TOKENS.has_ended(TimedPurpose.CONFIRM, token, just_before)
    assert TOKENS.verify(TimedPurpose.CONFIRM, token, LATER) is None
    assert TOKENS.has_ended(TimedPurpose.CONFIRM, token, LATER)


@pytest.mark.parametrize(("made_for", "used_for"), list(permutations(TimedPurpose, 2)))
def test_token_of_one_purpose_is_nothing_elsewhere(made_for: TimedPurpose, used_for: TimedPurpose) -> None:
    """
    A link to confirm does not erase, and so on for all pairs.
    """
    token = TOKENS.sign(made_for, 7, LATER)

    assert TOKENS.verify(used_for, token, NOON) is None
    assert not TOKENS.has_ended(used_for, token, LATER)


def test_tokens_of_mailings_are_no_timed_tokens() -> None:
    """
    An unsubscribe or click token opens no page of these, nor the other way round.
    """
    signer = Signer(SECRET)
    for purpose in Purpose:
        for token in (signer.sign(purpose, 7), signer.sign(purpose, 7, url="https://a.example/b")):
            assert not any(TOKENS.verify(timed, token, NOON) for timed in TimedPurpose)
    timed = TOKENS.sign(TimedPurpose.ERASE, 7, LATER)

    assert not any(signer.verify(purpose, timed) for purpose in Purpose)


@given(st.integers(0, 27), st.integers(1, 255))
def test_changed_byte_makes_a_token_worthless(position: int, change: int) -> None:
    """
    Neither subject, end nor MAC can be altered.
    """
    import base64

    content = bytearray(base64.urlsafe_b64decode(TOKENS.sign(TimedPurpose.EXPORT, 4711, LATER) + "=="))
    content[position] ^= change
    forged = base64.urlsafe_b64encode(content).decode().rstrip("=")

    assert TOKENS.verify(TimedPurpose.EXPORT, forged, NOON) is None
    assert not TOKENS.has_ended(TimedPurpose.EXPORT, forged, LATER)


@given(st.text(max_size=60))
def test_nonsense_is_no_token(text: str) -> None:
    """
    Whatever is written there, it is refused without a word.
    """
    assert TOKENS.verify(TimedPurpose.CONFIRM, text, NOON) is None


def test_token_of_a_retired_secret_is_still_read() -> None:
    """
    Changing the secret does not end the links that are on their way.
    """
    old = TOKENS.sign(TimedPurpose.CONFIRM, 7, LATER)
    fresh = b"another secret, of enough length"

    assert TimedTokens(fresh).verify(TimedPurpose.CONFIRM, old, NOON) is None
    assert TimedTokens(fresh, retired=[SECRET]).verify(TimedPurpose.CONFIRM, old, NOON)


@given(st.text(max_size=20), st.text(max_size=20))
def test_token_is_good_for_what_it_is_about_alone(one: str, other: str) -> None:
    """
    The link to one survey opens no other one, nor is it good without a name.
    """
    token = TOKENS.sign(TimedPurpose.SURVEY, 7, LATER, about=one)

    assert (one == other) == (TOKENS.verify(TimedPurpose.SURVEY, token, NOON, about=other) is not None)
    assert (one == other) == TOKENS.has_ended(TimedPurpose.SURVEY, token, LATER, about=other)
