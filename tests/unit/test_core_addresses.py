"""Addresses: what is cleaned, what is refused, and which spellings are one mailbox."""

import pytest

from core.addresses import Address, parse_address
from core.errors import AddressError
from core.ids import address_key


@pytest.mark.parametrize(
    "text",
    [
        "ada@paper.example",
        "  ada@paper.example\t",
        "<ada@paper.example>",
        "mailto:ada@paper.example",
        "MAILTO:<ada@paper.example>",
        "ada@paper.example.",
        "\ufeffada@paper.example\u200b",
        "a\u00adda@paper.example",
    ],
)
def test_address_pasted_with_its_surroundings_is_cleaned(text):
    """
    Blanks, angle brackets, `mailto:`, a closing dot and invisible characters are not part of an address.
    """
    assert Address("ada@paper.example", "ada@paper.example") == parse_address(text)


def test_address_keeps_the_case_of_the_local_part_for_sending():
    """
    The local part is sent to as entered, the domain in lower case, and both are compared without case (S-10.3).
    """
    parsed = parse_address("Ada.Lovelace@Paper.Example")

    assert "Ada.Lovelace@paper.example" == parsed.email
    assert "ada.lovelace@paper.example" == parsed.comparable


@pytest.mark.parametrize(
    "text", ["Jörg@EXÄMPLE.de", "jörg@xn--exmple-cua.de", "JÖRG@exämple.DE", "jo\u0308rg@exämple.de"]
)
def test_address_spellings_meet_one_suppression_key(text):
    """
    Case variants, A-labels and decomposed characters of one mailbox have one key (S-10.4).
    """
    parsed = parse_address(text)

    assert address_key(b"s" * 32, "jörg@xn--exmple-cua.de") == address_key(b"s" * 32, parsed.comparable)
    assert parsed.smtputf8
    assert "xn--exmple-cua.de" == parsed.domain


def test_address_with_an_international_domain_alone_needs_no_smtputf8():
    """
    A domain travels as an A-label, so only the local part decides about SMTPUTF8.
    """
    assert not parse_address("info@exämple.de").smtputf8


def test_address_with_plus_is_a_mailbox_of_its_own():
    """
    `a+x` is not folded into `a`: an opt-out of one says nothing about the other (S-10.5).
    """
    assert parse_address("a+x@paper.example").comparable != parse_address("a@paper.example").comparable


def test_reserved_names_are_refused_with_the_one_that_is_taken():
    """
    Nobody can be reached at .test, and the message says what trials may use instead.
    """
    with pytest.raises(AddressError) as caught:
        parse_address("offers@new7.test")

    assert str(caught.value).endswith(": no mail reaches names that end in .test; for trials take .example")
    assert "offers@new7.example" == parse_address("offers@new7.example").email


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "ada",
        "ada@",
        "@paper.example",
        "ada@paper",
        "a b@paper.example",
        "ada@@paper.example",
        "ada@paper..example",
        ".ada@paper.example",
        "ada.@paper.example",
        "a..b@paper.example",
        "ada@-paper.example",
        "ada@paper.invalid",
        "ada@localhost",
        "ada@shop.local",
        '"a b"@paper.example',
        "ada@[192.0.2.1]",
        "Ada <ada@paper.example>",
        f"{'a' * 65}@paper.example",
        f"a@{'b' * 64}.example",
        "a@b.com\r\nBcc: c@d.com",
        "ada@paper.example,bob@paper.example",
    ],
)
def test_address_that_is_none_is_refused_with_a_reason(text):
    """
    What is not one mailbox raises AddressError, which says why.
    """
    with pytest.raises(AddressError) as caught:
        parse_address(text)

    assert caught.value.message
