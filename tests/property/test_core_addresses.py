"""The fast path for plain addresses agrees with email-validator, which it stands in for."""

import string

from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import parse_address
from core.errors import AddressError

_local = st.text(string.ascii_letters + string.digits + ".!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=70)
_label = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=66)
_top = st.sampled_from(["com", "de", "example", "test", "invalid", "museum", "c", "co1"])
_addresses = st.builds(lambda local, labels, top: f"{local}@{'.'.join([*labels, top])}",
                       _local, st.lists(_label, min_size=0, max_size=4), _top)  # fmt: skip


@given(_addresses)
def test_plain_address_is_judged_as_by_the_library(text):
    """
    Every ASCII text with one @ is accepted exactly when email-validator accepts it.
    """
    text = text.removesuffix(".")
    try:
        expected = validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        expected = None
    try:
        actual = parse_address(text).email
    except AddressError:
        actual = None

    assert expected == actual


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_address_error(text):
    """
    No text makes the parser fail in another way, and what it accepts it accepts again unchanged.
    """
    try:
        parsed = parse_address(text)
    except AddressError:
        return

    assert parsed == parse_address(parsed.email)
