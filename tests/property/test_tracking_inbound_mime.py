"""Mails that Python's own package writes are taken apart as it takes them apart."""

import email
import email.policy
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st

from tracking.inbound.mime import Mail, Part
from tracking.inbound.reading import read

_LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=60)
_WORDS = _LETTERS.map(lambda text: " ".join(text.split()))
_TEXTS = st.lists(_WORDS, max_size=6).map(lambda lines: "\n".join([*lines, ""]))
_ENCODINGS = st.sampled_from(["7bit", "8bit", "base64", "quoted-printable"])


@st.composite
def _messages(draw: st.DrawFn, depth: int = 3) -> EmailMessage:
    """A mail with texts, attachments, alternatives and mails in it."""
    message = EmailMessage()
    message["From"] = "a@customers.example"
    message["Subject"] = draw(_WORDS)
    text, encoding = draw(_TEXTS), draw(_ENCODINGS)
    message.set_content(text, cte=encoding if encoding != "7bit" or text.isascii() else "8bit")
    if draw(st.booleans()):
        message.add_alternative(f"<p>{draw(_WORDS)}</p>", subtype="html")
    for _ in range(draw(st.integers(0, 2))):
        message.add_attachment(draw(st.binary(max_size=40)), maintype="application", subtype="octet-stream")
    if depth and draw(st.booleans()):
        message.add_attachment(draw(_messages(depth - 1)))
    return message


def _ours(part: Part) -> list[tuple[str, int]]:
    return [(one.kind, one.enclosed) for one in part.walk()]


def _theirs(message: email.message.Message, enclosed: int = 0) -> list[tuple[str, int]]:
    found = [(message.get_content_type(), enclosed)]
    for child in message.get_payload() if message.is_multipart() else ():
        found += _theirs(child, enclosed + (message.get_content_type() == "message/rfc822"))
    return found


@settings(max_examples=60)
@given(_messages(), st.sampled_from([email.policy.SMTP, email.policy.default.clone(max_line_length=60)]))
def test_mail_is_taken_apart_as_by_another_reader(message, policy):
    """
    Kinds and nesting of all parts, the subject and the first text are what Python's reader finds.
    """
    raw = message.as_bytes(policy=policy)
    mail, theirs = Mail(raw), email.message_from_bytes(raw, policy=email.policy.default)
    plain = next(one for one in mail.top.walk() if one.kind == "text/plain")

    assert _theirs(theirs) == _ours(mail.top)
    assert (str(theirs["Subject"]).strip(), []) == (mail.top.first("subject"), mail.flaws)
    assert theirs.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip() == plain.text(100_000).rstrip()


@settings(max_examples=200)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"From: <>\n", b"Content-Type: multipart/report; boundary=b\n\n--b\n"]),
)
def test_any_bytes_are_read(raw, before):
    """
    Whatever the bytes are, there is at least one finding, and nothing is raised.
    """
    assert read(before + raw).findings
