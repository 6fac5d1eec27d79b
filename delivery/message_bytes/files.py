"""Files inside a message: attachments, and images that its HTML shows. Each is encoded once, for all messages."""

import binascii
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from core.errors import RenderError
from delivery.message_bytes.headers import one_line

#: What can stand in a quoted string as it is and is left alone by programs that decode too eagerly.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9 ._()+,&#!@=-]{1,60}")
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._()+,&#!@=-]+")
#: Characters that need no escape in an extended parameter (RFC 2231 section 7, attribute-char).
_LITERAL: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~")
#: Characters that turn the direction of writing: they make `gpj.exe` look like `exe.jpg`.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTENT_TYPE: Final = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(?:; ?[a-z]+=[A-Za-z0-9-]+)*")
_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}@[A-Za-z0-9.-]{1,100}")
_BASE64_LINE_OCTETS: Final = 57  # 76 characters, the longest line of base64 (RFC 2045 section 6.8)
_SECTION: Final = 54  # characters of one section of a long name, so that its line stays below 78
LONGEST_NAME: Final = 120


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A part of a message: its header lines, the blank line and its content in base64; no CRLF at its end."""

    name: str
    octets: bytes = field(repr=False)


def encoded_attachment(name: str, content_type: str, content: bytes) -> EncodedFile:
    """The part of a file that is kept or opened beside the text.

    Raises:
        RenderError: the name cannot be that of an attachment.
    """
    return EncodedFile(name, _head(name, content_type, "attachment") + b"\r\n" + base64_lines(content))


def encoded_image(name: str, content_type: str, content: bytes, *, content_id: str) -> EncodedFile:
    """The part of an image that the HTML shows as `cid:<content_id>`.

    Raises:
        RenderError: as for an attachment.
    """
    if not _CONTENT_ID.fullmatch(content_id):
        raise ValueError(f"not a content id (got {content_id!r}, expected unique@place)")
    head = _head(name, content_type, "inline") + f"Content-ID: <{content_id}>\r\n\r\n".encode()
    return EncodedFile(name, head + base64_lines(content))


def _head(name: str, content_type: str, disposition: str) -> bytes:
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"not a content type (got {content_type!r}, expected type/subtype)")
    name = file_name(name)
    plain = plain_name(name)
    lines = [
        f'Content-Type: {content_type};\r\n name="{plain}"',
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {disposition}",
    ]
    # The extended form stands first: readers that take the first of two get the true name, old ones know only the
    # second (S-2.12).
    forms = [*_extended(name), f'filename="{plain}"'] if plain != name else [f'filename="{plain}"']
    return (";\r\n ".join(["\r\n".join(lines), *forms]) + "\r\n").encode()


def file_name(name: str) -> str:
    """The name of an attachment, without surrounding blanks.

    Raises:
        RenderError: it holds a control character (S-2.1) or the parts of a path (S-2.12), or is none.
    """
    name = one_line("the name of an attachment", name)
    if _TURNING.search(name):
        raise RenderError("the name of an attachment holds a character that turns the direction of writing")
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise RenderError(f"the name of an attachment is no file name (got {name!r}, expected it without folders)")
    if len(name) > LONGEST_NAME:
        raise RenderError(f"the name of an attachment has {len(name)} characters, at most {LONGEST_NAME}")
    return name


def plain_name(name: str) -> str:
    """`name` in ASCII, for programs that read no other: letters lose their accents, the rest becomes `_`."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    bare = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    ascii_only = "".join(letter for letter in bare if not unicodedata.combining(letter))
    stem, dot, suffix = _NOT_PLAIN.sub("_", ascii_only).rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    stem = stem if stem.strip("_. ") else "file"
    return f"{stem[:40].strip()}{dot}{suffix[:10].strip()}"


def _extended(name: str) -> list[str]:
    """`filename*` as one parameter, or in sections (RFC 2231 sections 3 and 4) so that no line is too long."""
    units = ["".join([_escaped(octet) for octet in character.encode()]) for character in name]
    sections = [""]
    for unit in units:
        if len(sections[-1]) + len(unit) > _SECTION:
            sections.append("")
        sections[-1] += unit
    if len(sections) == 1:
        return [f"filename*=utf-8''{sections[0]}"]
    first, *rest = sections
    return [f"filename*0*=utf-8''{first}", *(f"filename*{at}*={section}" for at, section in enumerate(rest, 1))]


def _escaped(octet: int) -> str:
    return chr(octet) if octet in _LITERAL else f"%{octet:02X}"


def base64_lines(content: bytes) -> bytes:
    """`content` in base64, in lines of 76 characters, without a line end after the last."""
    step = _BASE64_LINE_OCTETS
    lines = [binascii.b2a_base64(content[at : at + step], newline=False) for at in range(0, len(content), step)]
    return b"\r\n".join(lines)
