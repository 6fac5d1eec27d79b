"""Header lines: folded, encoded where they must be, and never more than the one line that was meant.

Each function returns one whole header field that ends with CRLF.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from core.errors import AddressError, RenderError
from delivery.addr_spec import wire_address
from delivery.message_bytes.encoded_words import encoded_words

_WANTED_LINE, _LONGEST_LINE = 78, 998  # characters before CRLF, RFC 5322 section 2.1.1
_FOLD = "\r\n "
#: C0 and C1 controls, DEL, line and paragraph separators, and halves of surrogate pairs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LONGEST_QUOTED_NAME = 60  # a longer name is encoded, because encoded-words fold
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=64)
def date_field(date: datetime) -> str:
    """The Date field, in UTC.

    Raises:
        ValueError: `date` is naive.
    """
    if date.tzinfo is None:
        raise ValueError(f"the date of a message must be aware (got {date!r})")
    at = date.astimezone(UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d}"
    return f"Date: {day} {at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000\r\n"


@lru_cache(maxsize=256)
def text_field(name: str, text: str) -> str:
    """A field of free text, such as Subject; encoded as a whole when any of it must be.

    Raises:
        RenderError: the text holds a line break or another control character.
    """
    text = one_line(name, text)
    if text.isascii() and "=?" not in text:
        field = _folded(name, text)
        if len(field) <= _WANTED_LINE or max(map(len, field.split("\r\n"))) <= _WANTED_LINE:
            return field
    if not text:
        return f"{name}: \r\n"
    return f"{name}: {_FOLD.join(encoded_words(text, column=len(name) + 2))}\r\n"


def address_field(name: str, display_name: str | None, email: str) -> str:
    """A field that names one mailbox, with the display name quoted or encoded as it needs.

    Raises:
        RenderError: the name holds a control character, or `email` is not one plain address.
    """
    try:
        address = f"<{wire_address(email)}>"
    except AddressError as error:
        raise RenderError(f"{name}: {error.message}") from None
    phrase = _phrase(name, one_line(name, display_name or ""))
    if not phrase:
        return f"{name}: {address[1:-1]}\r\n"
    last_line = len(name) + 2 + len(phrase) if "\r\n" not in phrase else len(phrase) - phrase.rindex("\n")
    between = " " if last_line + 1 + len(address) <= _WANTED_LINE - 2 else _FOLD
    return f"{name}: {phrase}{between}{address}\r\n"


#: From and Reply-To are the same for a whole campaign.
constant_address_field = lru_cache(maxsize=64)(address_field)


def further_field(name: str, value: str) -> str:
    """A field of any other kind: tokens in ASCII stay as they are, so that URIs are never broken or encoded.

    Text outside ASCII is allowed before a `<` only, as in `List-Id: phrase <label.domain>`.

    Raises:
        RenderError: the name or the value cannot be sent intact.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise RenderError(f"not the name of a header (got {name!r})")
    value = one_line(name, value)
    if not value.isascii():
        value = _encoded_phrase(name, value)
    field = _folded(name, value)
    if len(field) > _LONGEST_LINE and max(map(len, field.split("\r\n"))) > _LONGEST_LINE:
        raise RenderError(f"{name}: a part without blanks is longer than {_LONGEST_LINE} characters")
    return field


def one_line(name: str, text: str) -> str:
    """The text without surrounding blanks.

    Raises:
        RenderError: it holds a character that could end the header line (standards S-2.1).
    """
    if (found := _FORBIDDEN.search(text)) is not None:
        raise RenderError(
            f"{name}: holds a line break or control character (got U+{ord(found[0]):04X})",
            hint="a template value or a customer's field contains it; headers are one line of text",
        )
    return text.strip()


def _phrase(name: str, text: str) -> str:
    if len(text) <= _LONGEST_QUOTED_NAME and text.isascii() and "=?" not in text:
        if not text or _ATOMS.fullmatch(text):
            return text
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return _FOLD.join(encoded_words(text, column=len(name) + 2))


def _encoded_phrase(name: str, value: str) -> str:
    phrase, angle, rest = value.partition("<")
    if not rest.isascii():
        raise RenderError(f"{name}: an address or URI may hold ASCII only (got {value!r})")
    words = " ".join(encoded_words(phrase.strip(" "), column=len(name) + 2))
    return f"{words} {angle}{rest}" if angle else words


def _folded(name: str, value: str) -> str:
    if len(name) + 2 + len(value) <= _WANTED_LINE or " " not in value:
        return f"{name}: {value}\r\n"
    start = line = f"{name}:"
    lines = []
    for word in re.findall(r" +[^ ]+", " " + value):  # each word with the blanks before it, so none is lost
        if len(line) + len(word) > _WANTED_LINE and line is not start:
            lines.append(line)
            line = word
        else:
            line += word
    return "\r\n".join([*lines, line]) + "\r\n"
