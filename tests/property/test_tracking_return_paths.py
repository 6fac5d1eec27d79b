"""Return paths: read back whatever a mail server does to their case, and never made by somebody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import AddressError
from core.settings import Sender
from tests.factories import SECRET
from tracking.return_paths import LONGEST_DOMAIN, ReturnPaths, _key_id

DOMAIN = "bounces.paper.example"
PATHS = ReturnPaths(SECRET, DOMAIN)
message_ids = st.integers(0, 2**48 - 1)
_LONGEST = ".".join(["d" * 60] * 3 + ["e" * (LONGEST_DOMAIN - 3 * 61)])
_CASES = (str, str.upper, str.title, str.swapcase)


@given(message_ids, st.sampled_from(_CASES), st.booleans())
def test_a_return_path_is_read_back_in_any_case(message_id, written, in_brackets):
    """
    Servers that change the case of an address, or hand it on with its brackets, lose nothing.
    """
    address = written(PATHS.path(message_id))

    assert message_id == PATHS.message_id(f"<{address}>" if in_brackets else address)


@given(message_ids)
def test_a_return_path_keeps_the_limits_of_smtp(message_id):
    """
    The local part has at most 64 octets and the path, under the longest domain, at most 256 (S-1.37).
    """
    path = ReturnPaths(SECRET, _LONGEST).path(message_id)
    local, _, _ = path.partition("@")

    assert len(local) <= 64
    assert len(f"<{path}>") <= 256
    assert local == local.lower()
    assert path.isascii()


@given(message_ids, st.integers(0, 38), st.characters(codec="ascii"))
def test_a_changed_return_path_is_nobodys(message_id, place, character):
    """
    Whatever single character is changed, the address no longer names a message.
    """
    path = PATHS.path(message_id)
    changed = path[:place] + character + path[place + 1 :]

    assert (message_id if changed.lower() == path else None) == PATHS.message_id(changed)


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text):
    """
    What strangers send to the domain is no message of ours, and never an error.
    """
    assert PATHS.message_id(text) is None
    assert PATHS.message_id(f"{text}@{DOMAIN}") is None


def test_a_return_path_belongs_to_its_secret_and_domain():
    """
    Another installation's path is nobody's; a retired secret's is still read, since bounces come late.
    """
    other = b"another secret of this length 123"

    assert ReturnPaths(other, DOMAIN).message_id(PATHS.path(7)) is None
    assert ReturnPaths(SECRET, "else.example").message_id(PATHS.path(7)) is None
    assert 7 == ReturnPaths(other, DOMAIN, retired=[SECRET]).message_id(PATHS.path(7))


@pytest.mark.parametrize(
    "domain", ["", "bücher.example", "paper", "a b.example", "d" * 300 + ".example", "x@y.example"]
)
def test_a_domain_that_cannot_take_mail_is_refused(domain):
    """
    A domain that is none, is not in A-labels or leaves no room for the token is refused at once.
    """
    with pytest.raises(AddressError):
        ReturnPaths(SECRET, domain)


def test_the_settings_know_the_longest_domain():
    """
    A sender's `return_path` of the longest domain is taken in A-labels, and one character more is refused.
    """
    sender = {"name": "Paper & Co", "email": "offers@paper.example"}

    assert _LONGEST == Sender.model_validate(sender | {"return_path": _LONGEST}).return_path
    assert "xn--bcher-kva.example" == Sender.model_validate(sender | {"return_path": "Bücher.example"}).return_path
    with pytest.raises(ValidationError):
        Sender.model_validate(sender | {"return_path": _LONGEST.replace("e.", "ee.") + "e"})


def test_retired_secret_that_shares_its_key_id_is_still_known() -> None:
    """
    A key id is one byte: bounces of mail sent under a retired secret are known also where the new one has the same.
    """
    own = b"k" * 32
    alike = next(secret for secret in (b"%032d" % n for n in range(10_000)) if _key_id(secret) == _key_id(own))
    paths = ReturnPaths(own, "bounces.example", retired=[alike])

    assert 5 == paths.message_id(ReturnPaths(alike, "bounces.example").path(5))
    assert 6 == paths.message_id(ReturnPaths(own, "bounces.example").path(6))
    assert paths.path(7) == ReturnPaths(own, "bounces.example").path(7)
