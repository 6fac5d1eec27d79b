"""Tokens cannot be made, changed, or used for something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.keyring import Keyring
from tracking.tokens import Purpose, Signer, Token

SECRET = b"0123456789abcdef0123456789abcdef"
SIGNER = Signer(SECRET)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(
    st.sampled_from(Purpose),
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**16 - 1),
    st.none() | st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()),
)
def test_token_says_what_was_signed(purpose: Purpose, message_id: int, link: int, url: str | None) -> None:
    """
    What goes in comes out, and the same values give the same token.
    """
    token = SIGNER.sign(purpose, message_id, link, url)

    assert Token(message_id, link, url) == SIGNER.verify(purpose, token)
    assert token == Signer(SECRET).sign(purpose, message_id, link, url)


@given(st.integers(0, 2**48 - 1), st.integers(0, 30))
def test_tokens_signed_together_are_those_signed_one_by_one(message_id: int, count: int) -> None:
    """
    A message's own links and its tracked ones are made at once, and say the same.
    """
    links = [SIGNER.sign(Purpose.CLICK, message_id, link) for link in range(count)]

    assert [SIGNER.sign(purpose, message_id) for purpose in Purpose] == SIGNER.sign_each(Purpose, message_id)
    assert links == SIGNER.sign_links(message_id, count)


@pytest.mark.parametrize("url", [None, "https://shop.example/a?b=c#d"])
def test_token_with_any_character_changed_is_refused(url: str | None) -> None:
    """
    Every position, every other character: refused. So are tokens cut short, made longer, or padded.
    """
    token = SIGNER.sign(Purpose.CLICK, 4711, 3, url)
    changed = [
        token[:place] + char + token[place + 1 :]
        for place in range(len(token))
        for char in ALPHABET
        if char != token[place]
    ]
    cut = [token[:end] for end in range(len(token))]
    grown = [token + tail for tail in ("A", "=", "==", " ", "\n", ".", "ä")] + [" " + token]

    assert [] == [text for text in (*changed, *cut, *grown) if SIGNER.verify(Purpose.CLICK, text)]


@pytest.mark.parametrize("purpose", Purpose)
def test_token_serves_one_purpose_only(purpose: Purpose) -> None:
    """
    A token for one purpose is nothing to the others.
    """
    token = SIGNER.sign(purpose, 4711)

    assert [purpose] == [other for other in Purpose if SIGNER.verify(other, token)]


def test_token_of_another_installation_is_refused() -> None:
    """
    Another secret signs other tokens.
    """
    token = Signer(b"another secret, of enough length").sign(Purpose.OPEN, 4711)

    assert SIGNER.verify(Purpose.OPEN, token) is None


def test_retired_secret_still_verifies() -> None:
    """
    After a change of the secret, links in old mails go on working, and new ones carry the new key.
    """
    fresh = b"another secret, of enough length"
    renewed = Signer(fresh, retired=[SECRET])
    old = SIGNER.sign(Purpose.UNSUBSCRIBE, 4711)

    assert Token(4711) == renewed.verify(Purpose.UNSUBSCRIBE, old)
    assert Signer(fresh).sign(Purpose.OPEN, 1) == renewed.sign(Purpose.OPEN, 1)


@given(st.text() | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_arbitrary_text_is_no_token(text: str) -> None:
    """
    Whatever stands in a path, verifying answers None rather than failing.
    """
    assert SIGNER.verify(Purpose.CLICK, text) is None


def test_token_is_short_and_hides_the_address() -> None:
    """
    Tokens without a target of their own have at most 34 characters.
    """
    lengths = {len(SIGNER.sign(Purpose.OPEN, 2**40)), len(SIGNER.sign(Purpose.CLICK, 2**40, 25))}

    assert {31, 34} == lengths


def test_retired_secret_that_shares_its_key_id_is_still_known() -> None:
    """
    A key id is one byte: tokens of a retired secret are good also where the new one has the same.
    """
    key_ids = {secret: Keyring("token", Purpose, secret, ()).key_id for secret in (b"%032d" % n for n in range(3000))}
    mine = Keyring("token", Purpose, SECRET, ()).key_id
    alike = next(secret for secret, key_id in key_ids.items() if key_id == mine)
    signer = Signer(SECRET, retired=[alike])

    assert Token(5) == signer.verify(Purpose.UNSUBSCRIBE, Signer(alike).sign(Purpose.UNSUBSCRIBE, 5))
    assert Token(5) == signer.verify(Purpose.UNSUBSCRIBE, SIGNER.sign(Purpose.UNSUBSCRIBE, 5))
    assert signer.sign(Purpose.VIEW, 5) == SIGNER.sign(Purpose.VIEW, 5)
