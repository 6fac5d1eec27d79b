"""A mail becomes bytes: the header fields in order, then its parts.

Only the levels that are needed: mixed(related(alternative(text, html, calendar), images), attachments).
"""

import hashlib
import re
from functools import lru_cache

from core.errors import RenderError
from delivery.message_bytes.bodies import text_part
from delivery.message_bytes.files import EncodedFile
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
#: The header among `Mail.headers`, the first of them, that is another one in each message of a campaign.
_PERSONAL = "List-Unsubscribe"


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
        _further_fields(mail.headers),
        "MIME-Version: 1.0\r\n",
    ]
    head = "".join(fields).encode()
    text = text_part("plain", mail.text, eight_bit=eight_bit)
    if mail.html is None and not mail.attachments and mail.calendar is None:
        return head + text if text.endswith(b"\r\n") else head + text + b"\r\n"
    mark = _mark(message_id)
    forms = [text]
    if mail.html is not None:
        forms.append(text_part("html", mail.html, eight_bit=eight_bit))
    if mail.calendar is not None:  # the last, and no attachment: only there do calendars look for it (S-7.5)
        method = f"; method={mail.calendar.method}"
        forms.append(text_part("calendar", mail.calendar.text, eight_bit=eight_bit, parameters=method))
    pieces = forms
    if len(forms) > 1:
        pieces = _joined(b"alternative", b"=_" + mark, (), [[form] for form in forms])
        if mail.images:
            pieces = _related(mark, pieces, mail.images)
    if mail.attachments:
        pieces = _joined(b"mixed", b"=_m" + mark, (), [pieces, *_pieces(mail.attachments)])
    return b"".join((head, *pieces, b"\r\n"))


def _related(mark: bytes, pieces: list[bytes], images: tuple[EncodedFile, ...]) -> list[bytes]:
    """The page that `pieces` are, with the images it shows (RFC 2387); an image given twice is written once."""
    root = b"<" + mark + b"@page>"
    about = (b'type="multipart/alternative"', b'start="' + root + b'"')
    page = [b"Content-ID: ", root, b"\r\n", *pieces]
    return _joined(b"related", b"=_r" + mark, about, [page, *_pieces(tuple(dict.fromkeys(images)))])


def _pieces(files: tuple[EncodedFile, ...]) -> list[list[bytes]]:
    return [[file.octets] for file in files]


def _joined(subtype: bytes, boundary: bytes, about: tuple[bytes, ...], parts: list[list[bytes]]) -> list[bytes]:
    """A multipart of `parts` in pieces, which are joined only once; no CRLF after the last boundary.

    No boundary is the beginning of another: a reader that looks no further than that would close the wrong part.
    """
    parameters = b";\r\n ".join((*about, b'boundary="' + boundary + b'"'))
    between = b";\r\n " if about else b"; "
    pieces = [b"Content-Type: multipart/", subtype, between, parameters, b"\r\n"]
    for part in parts:
        pieces += (b"\r\n--", boundary, b"\r\n", *part)
    pieces += (b"\r\n--", boundary, b"--")
    return pieces


def _message_id(text: str) -> str:
    if (found := _MESSAGE_ID.fullmatch(text)) is None:
        raise RenderError(f"Message-ID: not an identifier (got {text!r}, expected unique@own.domain)")
    return found[1]


def _mark(message_id: str) -> bytes:
    """What the boundaries of a message share. After `=_`, which neither quoted-printable nor base64 can hold, it is
    no line of a part; and nobody knows the hash beforehand."""
    return hashlib.blake2b(message_id.encode(), digest_size=12).hexdigest().encode()


def _further_fields(headers: tuple[tuple[str, str], ...]) -> str:
    """The fields as they stand in the message; all but the personal one are written once for a whole campaign."""
    if headers and headers[0][0] == _PERSONAL:
        return further_field(*headers[0]) + _constant_fields(headers[1:], (_PERSONAL,))
    return _constant_fields(headers)


@lru_cache(maxsize=256)
def _constant_fields(headers: tuple[tuple[str, str], ...], beside: tuple[str, ...] = ()) -> str:
    seen = {*_RESERVED, *(name.lower() for name in beside)}
    for name, _ in headers:
        folded = name.lower()
        if folded in seen or folded.startswith(_RESERVED_PREFIXES):
            raise RenderError(f"{name}: given twice, or written by Clarion itself")
        seen.add(folded)
    return "".join([further_field(name, value) for name, value in headers])
