"""Files of any name and content come out of our bytes as they went in: Python's own parser reads them."""

import email
import email.policy
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from delivery.message_bytes import encoded_attachment, encoded_image, write_message
from tests.property.test_delivery_message_round_trip import body_text, make_mail

#: Whatever people call their files: no controls, separators, halves of surrogate pairs or signs of direction.
names = (
    st.text(
        st.characters(
            exclude_categories=["Cc", "Cs", "Zl", "Zp"],
            exclude_characters="/\\\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        ),
        min_size=1,
        max_size=110,
    )
    .map(str.strip)
    .filter(lambda name: name not in ("", ".", ".."))
)  # fmt: skip
contents = st.binary(max_size=2000)


def parsed(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@given(name=names)
def test_name_of_any_text_round_trips(name: str) -> None:
    """
    Every name is read back as it was given, from lines of at most 78 octets of ASCII (S-2.7, S-2.12).
    """
    octets = encoded_attachment(name, "application/pdf", b"%PDF-").octets

    assert name == parsed(octets).get_filename()
    assert octets.isascii()
    assert 78 >= max(map(len, octets.split(b"\r\n")))


@given(files=st.lists(st.tuples(names, contents), max_size=4), images=st.lists(contents, max_size=3), html=body_text)
def test_files_of_any_content_round_trip(files: list[tuple[str, bytes]], images: list[bytes], html: str) -> None:
    """
    Every leaf holds its file's octets, whatever the text around it says; no line is too long, no boundary is met.
    """
    attachments = tuple(encoded_attachment(name, "application/zip", content) for name, content in files)
    pictures = tuple(
        encoded_image("p.png", "image/png", content, content_id=f"{number}@image")
        for number, content in enumerate(images)
    )
    octets = write_message(make_mail(html=html, attachments=attachments, images=pictures), eight_bit=True)
    leaves = [part for part in parsed(octets).walk() if not part.is_multipart()]
    boundaries = [part.get_boundary() for part in parsed(octets).walk() if part.is_multipart()]

    assert [*images, *(content for _, content in files)] == [part.get_payload(decode=True) for part in leaves[2:]]
    assert [name for name, _ in files] == [part.get_filename() for part in leaves[2 + len(images) :]]
    assert 998 >= max(map(len, octets.split(b"\r\n")))
    assert not [leaf for leaf in leaves for edge in boundaries if f"--{edge}" in str(leaf.get_payload())]
