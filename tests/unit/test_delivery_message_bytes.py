"""What the writer refuses, and the exact form of what it writes."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import getaddresses

import pytest

from core.errors import RenderError
from delivery.message_bytes import AUTOMATIC_HEADERS, Mail, bulk_headers, write_message
from tests.property.test_delivery_message_round_trip import make_mail


def head_of(mail: Mail) -> list[str]:
    """The header lines as they stand, folds kept."""
    return write_message(mail).partition(b"\r\n\r\n")[0].decode().split("\r\n")


@pytest.mark.parametrize(
    "character", ["\r", "\n", "\0", "\t", "\v", "\f", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]
)
@pytest.mark.parametrize("field", ["subject", "sender_name", "recipient_name", "reply_to", "X-Note", "List-Id"])
def test_control_character_in_a_header_is_refused(field: str, character: str) -> None:
    """
    No value can end its header line, whatever field it comes from: subject, names, Reply-To, custom headers, the
    phrase of a List-Id (S-2.1; names of attachments are tested with the files).
    """
    value = f"Hello{character}Bcc: all@customers.example"
    given = {field: value} if field.islower() else {"headers": ((field, f"{value} <news.paper.example>"),)}

    with pytest.raises(RenderError):
        write_message(make_mail(**given))


@pytest.mark.parametrize(
    "address",
    [
        "anna@customers.example>", "anna@customers.example SIZE=1", "anna@customers.example\r\nBcc: b@c.example",
        "<anna@customers.example>", "anna", "anna@", "a b@customers.example", "anna@customers.example, b@c.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["recipient_email", "sender_email", "reply_to"])
def test_address_that_is_not_one_mailbox_is_refused(field: str, address: str) -> None:
    """
    An address cannot add recipients, parameters or lines (S-2.2); From names exactly one mailbox (S-3.9).
    """
    with pytest.raises(RenderError):
        write_message(make_mail(**{field: address}))


@pytest.mark.parametrize(
    "name", ["", "Paper, Pens & Co", "Eve <eve@evil.example>, Paper", '"', "a@b.example", "纸, 笔"]
)
def test_from_is_one_mailbox_of_one_domain_whatever_the_name(name: str) -> None:
    """
    A display name cannot become a second mailbox: every reader finds one address, that of the sender (S-3.9).
    """
    line = next(line for line in head_of(make_mail(sender_name=name)) if line.startswith("From: "))

    assert ["offers@paper.example"] == [address for _, address in getaddresses([line.removeprefix("From: ")])]


@pytest.mark.parametrize(
    "headers",
    [
        (("Bcc", "b@customers.example"),), (("subject", "again"),), (("Content-Type", "text/plain"),),
        (("Resent-To", "b@customers.example"),), (("X-Note", "a"), ("x-note", "b")), (("X Note", "a"),),
        (("X-Note:", "a"),), (("X-Note", "x" * 999),), (("List-Unsubscribe", "<https://paper.example/ü>"),),
        (("List-Unsubscribe", "<https://paper.example/u>"), ("list-unsubscribe", "<https://paper.example/v>")),
    ],
)  # fmt: skip
def test_header_that_cannot_be_sent_as_meant_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    """
    Headers of the writer's own (a Bcc among them), headers given twice and headers that would arrive broken are
    refused (S-2.3).
    """
    with pytest.raises(RenderError):
        write_message(make_mail(headers=headers))


def test_every_field_is_written_once() -> None:
    """
    Date, From, Reply-To, To, Subject, Message-ID and MIME-Version stand once each, and there is no Bcc (S-2.3).
    """
    names = [line.partition(":")[0] for line in head_of(make_mail(reply_to="help@paper.example"))]

    expected = ["Date", "From", "Reply-To", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type"]
    assert expected == names


def test_date_is_written_in_utc() -> None:
    """
    The Date field names the instant in UTC, whatever zone it came in.
    """
    date = datetime(2026, 3, 2, 1, 2, 3, tzinfo=timezone(timedelta(hours=8)))

    assert "Date: Sun, 01 Mar 2026 17:02:03 +0000" == head_of(make_mail(date=date))[0]


def test_naive_date_is_refused() -> None:
    """
    A date without a zone is a mistake of the caller.
    """
    with pytest.raises(ValueError, match="aware"):
        write_message(make_mail(date=datetime(2026, 3, 2)))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Anna Smith", "Anna Smith"),
        ("Smith, Anna", '"Smith, Anna"'),
        ('The "Mill"', r'"The \"Mill\""'),
        ("J. \\ K", r'"J. \\ K"'),
        ("Möbel-Center", "=?utf-8?q?M=C3=B6bel-Center?="),
        ("安娜", "=?utf-8?b?5a6J5aic?="),
        ("=?utf-8?q?a?=", "=?utf-8?b?PT91dGYtOD9xP2E/PQ==?="),
    ],
)
def test_display_name_is_quoted_or_encoded_as_needed(name: str, written: str) -> None:
    """
    Atoms stay, specials are quoted, everything else becomes encoded-words.
    """
    assert f"To: {written} <anna@customers.example>" == head_of(make_mail(recipient_name=name))[2]


def test_domain_outside_ascii_is_an_a_label() -> None:
    """
    An internationalised domain is written as A-label, never as an encoded-word (S-2.11).
    """
    assert "To: anna@xn--bcher-kva.example" == head_of(make_mail(recipient_email="anna@bücher.example"))[2]


def test_local_part_outside_ascii_is_kept_for_smtputf8() -> None:
    """
    An internationalised local part stays as it is: an encoded-word may not stand in an address (S-2.11).
    """
    assert "To: jörg@xn--bcher-kva.example" == head_of(make_mail(recipient_email="jörg@bücher.example"))[2]


def test_long_subject_of_chinese_is_cut_between_characters() -> None:
    """
    Each encoded-word of a long subject is whole characters, at most 75 long (S-2.8).
    """
    subject = "纸张和办公用品的春季优惠" * 6
    lines = [line for line in head_of(make_mail(subject=subject)) if "=?utf-8?b?" in line]

    assert 1 < len(lines)
    assert 76 >= max(map(len, lines))


@pytest.mark.parametrize(
    ("html", "eight_bit", "encoding"),
    [
        ("<p>plain</p>\n", False, "7bit"),
        ("<p>Grüße an alle, die dies lesen</p>\n", False, "quoted-printable"),
        ("<p>纸张和办公用品</p>\n", False, "base64"),
        ("<p>纸张和办公用品</p>\n", True, "8bit"),
        ("<p>" + "x" * 999, False, "quoted-printable"),
        ("<p>" + "ü" * 999, True, "base64"),
        ("a" * 998 + "\n" + "b" * 998, False, "7bit"),
        ("a" * 998 + "\n" + "b" * 999, False, "quoted-printable"),
        ("a\0b", False, "quoted-printable"),
        ("ü" + "a" * 9, False, "base64"),
        ("ü" + "a" * 10, False, "quoted-printable"),
    ],
)
def test_transfer_encoding_is_the_cheapest_that_carries_the_text(html: str, eight_bit: bool, encoding: str) -> None:
    """
    Short ASCII lines go as they are, Latin text quoted-printable, Chinese base64, 8bit only where allowed (S-2.7).
    """
    octets = write_message(make_mail(html=html), eight_bit=eight_bit)

    part = octets.partition(b"Content-Type: text/html; charset=utf-8\r\n")[2]
    assert f"Content-Transfer-Encoding: {encoding}".encode() == part.partition(b"\r\n")[0]


def test_half_of_a_surrogate_pair_in_a_body_is_refused() -> None:
    """
    A text that no charset carries fails this message, not the process.
    """
    with pytest.raises(RenderError):
        write_message(make_mail(text="\ud83d"))


def test_https_bulk_mail_has_one_click_unsubscribe() -> None:
    """
    Bulk headers over HTTPS are the URI in angle brackets, the exact One-Click pair, and Precedence (S-2.13, S-2.14).
    """
    expected = (
        ("List-Unsubscribe", "<https://news.paper.example/u/k7f3>, <mailto:leave@paper.example>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Precedence", "bulk"),
    )

    assert expected == bulk_headers("https://news.paper.example/u/k7f3", mailto="mailto:leave@paper.example")


def test_http_bulk_mail_has_no_one_click_pair() -> None:
    """
    RFC 8058 is for HTTPS; only this machine itself is excepted.
    """
    pairs = {url: len(bulk_headers(url)) for url in ("http://news.paper.example/u/1", "http://127.0.0.1:8025/u/1")}

    assert {"http://news.paper.example/u/1": 2, "http://127.0.0.1:8025/u/1": 3} == pairs


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://paper.example/u/a b", "https://paper.example/>", ""])
def test_unsubscribe_address_that_would_break_the_header_is_refused(url: str) -> None:
    """
    A URI must fit between angle brackets.
    """
    with pytest.raises(RenderError):
        bulk_headers(url)


def test_automatic_mail_says_so() -> None:
    """
    Confirmations carry Auto-Submitted once.
    """
    lines = head_of(make_mail(headers=AUTOMATIC_HEADERS, date=datetime(2026, 3, 2, tzinfo=UTC)))

    assert 1 == lines.count("Auto-Submitted: auto-generated")


def test_message_id_may_come_with_angle_brackets() -> None:
    """
    Both spellings of an identifier make the same bytes.
    """
    assert write_message(make_mail(message_id="<a@b.example>")) == write_message(make_mail(message_id="a@b.example"))
