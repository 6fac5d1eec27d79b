"""A mail becomes bytes: the header fields in order, then one part or two."""

import hashlib
import re

from core.errors import RenderError
from delivery.message_bytes.bodies import text_part
from delivery.message_bytes.headers import (
    address_field,
    constant_address_field,
    date_field,
    further_field,
    text_field,
)
from delivery.message_bytes.mail import Mail

_MESSAGE_ID = re.compile(r"<?([!#$%&'*+/=?^_`{|}~A-Za-z0-9.-]{1,200}@[A-Za-z0-9.-]{1,250})>?")
#: Written here, or never in mail to one person (Bcc, Cc, Resent-…): not to be given in `Mail.headers`.
_RESERVED = frozenset(
    {
        "date",
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "message-id",
        "mime-version",
        "return-path",
    }
)
_RESERVED_PREFIXES = ("content-", "resent-")


def write_message(mail: Mail, *, eight_bit: bool = False) -> bytes:
    """The whole message in CRLF lines, ending with CRLF, not dot-stuffed; equal for equal arguments.

    Without `eight_bit` every octet is ASCII, unless the recipient's local part is not (that needs SMTPUTF8).

    Raises:
        RenderError: something would not arrive as meant: a control character in a header, an address that is
            none, a header that is too long or given twice.
    """
    message_id = _message_id(mail.message_id)
    fields = [
        date_field(mail.date),
        constant_address_field("From", mail.sender_name, mail.sender_email),
        constant_address_field("Reply-To", None, mail.reply_to) if mail.reply_to else "",
        address_field("To", mail.recipient_name, mail.recipient_email),
        text_field("Subject", mail.subject),
        f"Message-ID: <{message_id}>\r\n",
        *_further_fields(mail.headers),
        "MIME-Version: 1.0\r\n",
    ]
    head = "".join(fields).encode()
    text = text_part("plain", mail.text, eight_bit=eight_bit)
    if mail.html is None:
        return head + text if text.endswith(b"\r\n") else head + text + b"\r\n"
    html = text_part("html", mail.html, eight_bit=eight_bit)
    boundary = _boundary(message_id)
    return b"".join(
        (
            head, b'Content-Type: multipart/alternative; boundary="', boundary, b'"\r\n\r\n',
            b"--", boundary, b"\r\n", text,
            b"\r\n--", boundary, b"\r\n", html,
            b"\r\n--", boundary, b"--\r\n",
        )
    )  # fmt: skip


def _message_id(text: str) -> str:
    if (found := _MESSAGE_ID.fullmatch(text)) is None:
        raise RenderError(f"Message-ID: not an identifier (got {text!r}, expected unique@own.domain)")
    return found[1]


def _boundary(message_id: str) -> bytes:
    """Never a line of a part: `=_` cannot occur in quoted-printable, and nobody knows the hash beforehand."""
    return b"=_" + hashlib.blake2b(message_id.encode(), digest_size=12).hexdigest().encode()


def _further_fields(headers: tuple[tuple[str, str], ...]) -> list[str]:
    seen = set(_RESERVED)
    for name, _ in headers:
        folded = name.lower()
        if folded in seen or folded.startswith(_RESERVED_PREFIXES):
            raise RenderError(f"{name}: given twice, or written by Clarion itself")
        seen.add(folded)
    return [further_field(name, value) for name, value in headers]
