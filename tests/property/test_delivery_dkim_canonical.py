"""Our canonical forms and signatures are those of dkimpy, whatever the message holds."""

import re

import dkim
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.dkim import Signer
from delivery.dkim.canonical import relaxed_body, relaxed_fields
from delivery.dkim.keys import SigningKey, new_key
from delivery.dkim.records import record_value

RSA = SigningKey("paper.example", "s2026a", new_key())
ED25519 = SigningKey("paper.example", "e2026a", new_key(ed25519=True))
SIGNER = Signer((RSA, ED25519))
RECORDS = {key.dns_name: record_value(key).encode() for key in (RSA, ED25519)}

#: Blanks and line ends in every combination, long runs, 8-bit octets, and dots at the beginning of lines.
pieces = st.sampled_from(
    [b" ", b"  ", b"\t", b" \t ", b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r\n", b"a", b"b c", b".", b":", b"=20",
     "ü".encode(), b"\xff\xfe", b"\x0b", b"\x0c", b" " * 7, b"\t" * 9, b"word " * 300]
)  # fmt: skip
bodies = st.lists(pieces, max_size=30).map(b"".join)
names = st.sampled_from(
    ["From", "to", "CC", "Subject", "Date", "Reply-To", "Message-ID", "List-Unsubscribe", "List-Id", "X-Other",
     "MIME-Version", "Content-Type", "References", "subject"]
)  # fmt: skip
#: A value may be folded, but no line of it is blank: that would end the header.
values = st.lists(
    st.sampled_from([b"word", b" ", b"  ", b"\t", b"\r\n x", b"\r\n\tx", b"a: b", "ü".encode(), b"w" * 90]), max_size=9
).map(b"".join)
colons = st.sampled_from([b":", b": ", b":\t "])  # dkimpy does not find fields with blanks before the colon
fields = st.builds(lambda name, colon, value: name.encode() + colon + value + b"\r\n", names, colons, values)
heads = st.lists(fields, max_size=12).map(b"".join)


def transmitted(body: bytes) -> bytes:
    """The body as SMTP carries it: with CRLF at its end."""
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


@given(body=bodies)
def test_body_is_canonical_as_dkimpy_says(body: bytes) -> None:
    """
    Every body has the canonical form that dkimpy gives it.
    """
    assert Relaxed.canonicalize_body(transmitted(body)) == relaxed_body(body)


@given(body=bodies)
def test_canonical_body_is_canonical_already(body: bytes) -> None:
    """
    The canonical form of a canonical form is itself, and holds no run of blanks.
    """
    canonical = relaxed_body(body)

    assert canonical == relaxed_body(canonical)
    assert re.search(rb"[ \t]{2}|\t|[ \t]\r\n|\r\n\r\n\Z|\A\r\n\Z", canonical) is None


@given(head=heads)
def test_fields_are_canonical_as_dkimpy_says(head: bytes) -> None:
    """
    Every header field has the name and the canonical form that dkimpy gives it.
    """
    theirs = Relaxed.canonicalize_headers(dkim.rfc822_parse(head + b"\r\n")[0])

    assert [(name, name + b":" + value) for name, value in theirs] == relaxed_fields(head)


@settings(max_examples=60)
@given(head=heads, body=bodies)
def test_any_message_verifies_with_dkimpy(head: bytes, body: bytes) -> None:
    """
    Both signatures of any message verify with a verifier that is not ours, after SMTP carried it.
    """
    signed = SIGNER.sign(b"From: a@paper.example\r\n" + head + b"\r\n" + body)
    carried = signed if signed.endswith(b"\r\n") else signed + b"\r\n"

    verifier = dkim.DKIM(carried)
    assert [True, True] == [
        verifier.verify(place, dnsfunc=lambda name, timeout=5: RECORDS[name.decode().rstrip(".")]) for place in (0, 1)
    ]
