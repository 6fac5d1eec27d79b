"""Attachments and inline images: the exact form of what is written, and what is refused."""

import base64
import email
import email.policy
from email.message import EmailMessage

import pytest

from core.errors import RenderError
from delivery.message_bytes import EncodedFile, encoded_attachment, encoded_image, write_message
from delivery.message_bytes.files import plain_name
from tests.property.test_delivery_message_round_trip import make_mail

PDF = b"%PDF-1.7\r\n.\r\n..dots\r\nFrom here\n--=_" + bytes(range(256)) * 5
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(255, -1, -1)) * 3
ADDRESS = "3f2a@image"


def attached(name: str = "terms.pdf", content: bytes = PDF) -> EncodedFile:
    return encoded_attachment(name, "application/pdf", content)


def pictured(content: bytes = PNG, content_id: str = ADDRESS) -> EncodedFile:
    return encoded_image("logo.png", "image/png", content, content_id=content_id)


def parsed(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def tree(message: EmailMessage) -> object:
    """The types of a message's parts, nested as they are."""
    kind = message.get_content_type()
    return (kind, *(tree(part) for part in message.iter_parts())) if message.is_multipart() else kind


PAGE = ("multipart/alternative", "text/plain", "text/html")
SHOWN = '<img src="cid:3f2a@image">'


@pytest.mark.parametrize(
    ("html", "images", "attachments", "expected"),
    [
        (SHOWN, 0, 0, PAGE),
        (SHOWN, 1, 0, ("multipart/related", PAGE, "image/png")),
        (SHOWN, 0, 1, ("multipart/mixed", PAGE, "application/pdf")),
        (SHOWN, 1, 2, ("multipart/mixed", ("multipart/related", PAGE, "image/png"), *["application/pdf"] * 2)),
        (None, 0, 1, ("multipart/mixed", "text/plain", "application/pdf")),
        (None, 0, 0, "text/plain"),
    ],
)
def test_a_message_has_only_the_levels_it_needs(
    html: str | None, images: int, attachments: int, expected: object
) -> None:
    """
    Attachments stand beside the page, its images inside it, and the plain text before the HTML (S-2.6, RFC 2046).
    """
    files = tuple(attached(f"{number}.pdf") for number in range(attachments))
    mail = make_mail(html=html, images=(pictured(),) * images, attachments=files)

    assert expected == tree(parsed(write_message(mail)))


def test_the_page_is_the_root_of_its_images() -> None:
    """
    multipart/related names the type of its root and where it starts, which is its first part (RFC 2387).
    """
    related = parsed(write_message(make_mail(html=SHOWN, images=(pictured(),))))
    page = next(iter(related.iter_parts()))

    assert "multipart/alternative" == related["content-type"].params["type"]
    assert page["content-id"] == related["content-type"].params["start"]
    assert page.get_content_type() == related["content-type"].params["type"]


def test_every_leaf_holds_the_octets_of_its_file() -> None:
    """
    Whatever a file holds (lines that begin with dots, CR, NUL, a boundary's beginning), it arrives as it is.
    """
    octets = write_message(
        make_mail(html=SHOWN, images=(pictured(),), attachments=(attached(), attached("b.pdf", b"x")))
    )
    leaves = [part for part in parsed(octets).walk() if not part.is_multipart()]

    assert [PNG, PDF, b"x"] == [part.get_payload(decode=True) for part in leaves[2:]]
    assert not any(part.defects for part in parsed(octets).walk())
    assert 76 >= max(map(len, base64.encodebytes(PDF).splitlines()))
    assert 78 >= max(map(len, octets.split(b"\r\n")))
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")


def test_an_image_is_found_by_its_content_id() -> None:
    """
    The part carries the id that the HTML's `cid:` names, and is shown in its place, not listed as an attachment.
    """
    message = parsed(write_message(make_mail(html=SHOWN, images=(pictured(),))))
    image = list(message.iter_parts())[1]

    assert ("<3f2a@image>", "inline", "logo.png") == (
        image["content-id"], image.get_content_disposition(), image.get_filename()
    )  # fmt: skip


def test_an_image_given_twice_is_written_once() -> None:
    """
    However often the HTML shows an image, its octets are in the message once.
    """
    message = parsed(write_message(make_mail(html=SHOWN * 2, images=(pictured(), pictured()))))

    assert ("multipart/related", PAGE, "image/png") == tree(message)


def test_boundaries_are_no_beginnings_of_each_other_and_occur_in_no_part() -> None:
    """
    Three levels have three boundaries, equal for equal mails; no line of a file's base64 can be one (RFC 2046 5.1).
    """
    mail = make_mail(html=SHOWN, images=(pictured(),), attachments=(attached(),))
    message = parsed(write_message(mail))
    boundaries = [part.get_boundary() for part in message.walk() if part.is_multipart()]

    assert 3 == len(set(boundaries))
    assert not [(a, b) for a in boundaries for b in boundaries if a != b and a.startswith(b)]
    assert b"=_" not in attached().octets.partition(b"\r\n\r\n")[2]
    assert write_message(mail) == write_message(mail)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("terms.pdf", "terms.pdf"),
        ("Bedingungen 2026.pdf", "Bedingungen 2026.pdf"),
        ("Preisänderung für Größen.pdf", "Preisanderung fur Grossen.pdf"),
        ("价格表.pdf", "file.pdf"),
        ('The "new" terms.pdf', "The _new_ terms.pdf"),
        ("100%.pdf", "100_.pdf"),
        ("a;b.pdf", "a_b.pdf"),
        ("x" * 70 + ".pdf", "x" * 40 + ".pdf"),
        ("=?utf-8?q?a?=.pdf", "=_utf-8_q_a_=.pdf"),
    ],
)
def test_the_name_stands_in_full_and_in_ascii(name: str, plain: str) -> None:
    """
    A name outside plain ASCII is written as RFC 2231 wants it, before its fallback in ASCII (S-2.12).
    """
    octets = attached(name).octets
    head = octets.partition(b"\r\n\r\n")[0].decode("ascii")

    assert plain == plain_name(name)
    assert f'\r\n filename="{plain}"' in head
    assert (name != plain) == ("filename*" in head)
    assert name == parsed(octets).get_filename()
    assert "attachment" == parsed(octets).get_content_disposition()
    assert 78 >= max(map(len, head.split("\r\n")))


def test_an_old_reader_that_knows_no_extended_names_sees_the_fallback() -> None:
    """
    To whom `filename*` is just another word, `filename` is there, and ends as the file does (S-2.12).
    """
    head = attached("价格 表.pdf").octets.partition(b"\r\n\r\n")[0].decode("ascii")
    parameters = dict(part.strip().split("=", 1) for part in head.partition("Disposition:")[2].split(";")[1:])

    assert '"file.pdf"' == parameters["filename"]
    assert "utf-8''%E4%BB%B7%E6%A0%BC%20%E8%A1%A8.pdf" == parameters["filename*"]


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\t", "\v", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_no_character_of_a_name_ends_its_header(character: str) -> None:
    """
    Control characters and line separators in the name of an attachment are refused (S-2.1).
    """
    with pytest.raises(RenderError):
        attached(f"terms{character}Bcc: all@customers.example.pdf")


@pytest.mark.parametrize(
    "name", ["a/b.pdf", "../terms.pdf", "/etc/passwd", "c:\\terms.pdf", "", "  ", ".", "..", "x" * 121, "\u202efdp.exe"]
)
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    """
    A name has no path parts, is not empty, not endless, and does not read backwards (S-2.12).
    """
    with pytest.raises(RenderError):
        attached(name)


@pytest.mark.parametrize("content_id", ["", "logo", "a@b>\r\nX: y", "a b@c"])
def test_a_content_id_that_is_none_is_a_mistake_of_the_caller(content_id: str) -> None:
    """
    Content ids are made by Clarion: one that could break its header is a bug, not a problem of a file.
    """
    with pytest.raises(ValueError, match="content id"):
        pictured(content_id=content_id)
