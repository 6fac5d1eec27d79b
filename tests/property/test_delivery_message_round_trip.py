"""What Python's own parser reads out of our bytes is what was written into them."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses

from hypothesis import given
from hypothesis import strategies as st

from delivery.message_bytes import Mail, bulk_headers, write_message

#: Whatever a header may hold: no controls, no separators, no halves of surrogate pairs; blanks only inside.
header_text = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120
).map(str.strip)  # fmt: skip
body_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=800)
sizes = st.integers(60, 900)


def make_mail(**values: object) -> Mail:
    """A mail in which only what matters is given."""
    defaults: dict[str, object] = {
        "message_id": "k7f3.1@paper.example",
        "date": datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        "sender_name": "Paper & Co",
        "sender_email": "offers@paper.example",
        "reply_to": None,
        "recipient_email": "anna@customers.example",
        "recipient_name": None,
        "subject": "Offers",
        "text": "Hello\n",
        "html": "<p>Hello</p>\n",
    }
    return Mail(**(defaults | values))  # type: ignore[arg-type]


def read(octets: bytes) -> EmailMessage:
    """The message as Python's parser understands it."""
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def lines_of(text: str) -> str:
    """The text with one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_of(message: EmailMessage, place: int) -> str:
    """The decoded text of one part."""
    part = list(message.iter_parts())[place]
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return lines_of(payload.decode())


@given(subject=header_text)
def test_subject_of_any_text_round_trips(subject: str) -> None:
    """
    Every subject is read back as it was written, and no line of it is too long.
    """
    octets = write_message(make_mail(subject=subject))

    head = octets.partition(b"\r\n\r\n")[0]
    assert subject == str(read(octets)["subject"])
    assert 78 >= max(map(len, head.split(b"\r\n")))


@given(name=header_text)
def test_display_name_of_any_text_round_trips(name: str) -> None:
    """
    Every display name is read back, beside exactly one address.
    """
    octets = write_message(make_mail(recipient_name=name, sender_name=name))

    # The modern parser of Python 3.11 puts blanks between encoded-words of a phrase; the old one is right.
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    for field, address in (("to", "anna@customers.example"), ("from", "offers@paper.example")):
        ((phrase, found),) = getaddresses([message[field]])
        assert (name, address) == (str(make_header(decode_header(phrase))), found)


@given(text=body_text, html=body_text, eight_bit=st.booleans())
def test_both_parts_of_any_text_round_trip(text: str, html: str, eight_bit: bool) -> None:
    """
    Text and HTML are read back unchanged but for the kind of line end, the plain part first (S-2.6), both in UTF-8
    (S-2.7).
    """
    message = read(write_message(make_mail(text=text, html=html), eight_bit=eight_bit))

    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]
    assert ["utf-8", "utf-8"] == [part.get_content_charset() for part in message.iter_parts()]
    assert (lines_of(text), lines_of(html)) == (content_of(message, 0), content_of(message, 1))


@given(text=body_text)
def test_single_part_round_trips(text: str) -> None:
    """
    A message without HTML is one plain part; it may gain a line end at its very end.
    """
    message = read(write_message(make_mail(text=text, html=None)))

    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "text/plain" == message.get_content_type()
    assert lines_of(payload.decode()) in (lines_of(text), lines_of(text) + "\n")


@given(mail=st.builds(make_mail, subject=header_text, recipient_name=header_text, text=body_text, html=body_text))
def test_bytes_are_seven_bit_lines_that_fit(mail: Mail) -> None:
    """
    Without 8-bit octets asked for there are none; every line ends in CRLF and is at most 998 octets long, an encoded
    one 76 (S-2.7).
    """
    octets = write_message(mail)
    bodies = [part.get_payload() for part in read(octets).iter_parts() if part["content-transfer-encoding"] != "7bit"]

    assert 76 >= max((len(line) for body in bodies for line in str(body).splitlines()), default=0)
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    assert 998 >= max(map(len, octets.split(b"\r\n")))


@given(mail=st.builds(make_mail, subject=header_text, text=body_text, html=body_text))
def test_equal_mails_are_equal_bytes(mail: Mail) -> None:
    """
    A retry writes the same bytes, boundary and all (S-2.5).
    """
    assert write_message(mail) == write_message(mail)


@given(length=sizes, has_mailto=st.booleans())
def test_unsubscribe_uri_stays_intact(length: int, has_mailto: bool) -> None:
    """
    A List-Unsubscribe URI of 60 to 900 characters is on one line, unbroken and not encoded (S-2.9, S-2.13).
    """
    uri = "https://news.paper.example/u/".ljust(length, "x")
    mailto = "mailto:leave@paper.example?subject=k7f3" if has_mailto else None

    octets = write_message(make_mail(headers=bulk_headers(uri, mailto=mailto)))

    assert f"<{uri}>".encode() in octets
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in octets
    assert 1 == octets.count(b"\r\nList-Unsubscribe: ")


@given(words=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60), min_size=1))
def test_further_header_of_words_round_trips(words: list[str]) -> None:
    """
    A header of words in ASCII is folded at blanks only, and unfolds to what it was (S-2.9).
    """
    value = " ".join(words)

    octets = write_message(make_mail(headers=(("X-Words", value),)))

    field = octets.partition(b"\r\nX-Words: ")[2].partition(b"\r\nMIME-Version")[0]
    assert value == field.replace(b"\r\n", b"").decode()
    assert 78 >= max(map(len, (b"X-Words: " + field).split(b"\r\n")))


@given(length=sizes, name=st.sampled_from(["Feedback-ID", "X-Campaign", "List-Help"]))
def test_long_value_without_blanks_stays_intact(length: int, name: str) -> None:
    """
    60 to 900 characters that cannot be folded stand on one line, never as encoded-words (S-2.9).
    """
    value = "c42:spring:paper:".ljust(length, "x")

    octets = write_message(make_mail(headers=((name, value),)))

    assert re.search(rf"^{name}:(\r\n)? {value}\r$".encode(), octets, re.MULTILINE)


@given(
    text=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=900).map(str.strip)
)
def test_encoded_words_hold_whole_characters(text: str) -> None:
    """
    However long a subject or name, each encoded-word has at most 75 characters, its line at most 76, and it decodes by
    itself (S-2.8, S-2.10).
    """
    head = write_message(make_mail(subject=text, recipient_name=text)).partition(b"\r\n\r\n")[0].decode()
    words = re.findall(r"=\?utf-8\?[qb]\?[^?]*\?=", head)

    assert 75 >= max(map(len, words), default=0)
    assert 76 >= max((len(line) for line in head.split("\r\n") if "=?utf-8?" in line and "@" not in line), default=0)
    for word in words:
        ((octets, charset),) = decode_header(word)
        assert isinstance(octets, bytes)
        assert octets.decode(charset or "")


@given(name=header_text)
def test_encoded_word_never_stands_in_quotes_or_addresses(name: str) -> None:
    """
    A display name is quoted or encoded, never both, and the address behind it is as it was (S-2.8, S-2.11).
    """
    head = write_message(make_mail(recipient_name=name)).partition(b"\r\n\r\n")[0].decode()
    field = head.partition("\r\nTo: ")[2].partition("\r\nSubject:")[0]

    assert field.endswith(("anna@customers.example", " <anna@customers.example>"))
    assert not ('"' in field and "=?" in field)
