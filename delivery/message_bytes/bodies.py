"""Text parts: the cheapest transfer encoding that carries the text intact."""

import binascii
from collections.abc import Callable

from core.errors import RenderError

_LONGEST_LINE = 998  # octets before CRLF, RFC 5322 section 2.1.1
_BASE64_LINE = 76
_ASCII = bytes(range(128))


def text_part(subtype: str, text: str, *, eight_bit: bool, parameters: str = "") -> bytes:
    """The header lines, the blank line and the encoded body of a text part in UTF-8; no CRLF is added.

    `parameters`: further ones of its type, such as `; method=REQUEST`.

    Raises:
        RenderError: the text holds half of a surrogate pair, which no charset can carry.
    """
    octets = _octets(subtype, text)
    body = _in_crlf_lines(octets)
    encoding = _encoding(body, more=len(octets) - len(text), eight_bit=eight_bit)
    head = f"Content-Type: text/{subtype}; charset=utf-8{parameters}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + _ENCODERS[encoding](body)


def _octets(subtype: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RenderError(f"the {subtype} part holds a character that cannot be sent ({error.reason})") from None


def _in_crlf_lines(octets: bytes) -> bytes:
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return octets.replace(b"\n", b"\r\n")


def _encoding(body: bytes, *, more: int, eight_bit: bool) -> str:
    """`more`: octets that UTF-8 takes more than there are characters; those outside ASCII are at most twice as many."""
    if (not more or eight_bit) and b"\0" not in body and _lines_fit(body):
        return "8bit" if more else "7bit"
    # An octet outside ASCII takes three characters in quoted-printable; base64 takes 4/3 for every octet.
    is_mostly_ascii = more * 12 <= len(body) or len(body.translate(None, _ASCII)) * 6 <= len(body)
    return "quoted-printable" if is_mostly_ascii else "base64"


def _lines_fit(body: bytes) -> bool:
    """Whether no line is too long. Jumps from line end to line end, 998 octets at a time: 1 µs for 7 KB."""
    start = 0
    while len(body) - start > _LONGEST_LINE:
        start = body.rfind(b"\n", start, start + _LONGEST_LINE + 2) + 1
        if start == 0:
            return False
    return True


def _base64(body: bytes) -> bytes:
    encoded = binascii.b2a_base64(body, newline=False)
    return b"\r\n".join([encoded[at : at + _BASE64_LINE] for at in range(0, len(encoded), _BASE64_LINE)])


def _quoted_printable(body: bytes) -> bytes:
    encoded = binascii.b2a_qp(body, istext=True)
    # b2a_qp takes the line end of its soft breaks from the first line end of the text; without one it is LF.
    return encoded if b"\n" in body else encoded.replace(b"\n", b"\r\n")


_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "8bit": bytes,
    "base64": _base64,
    "quoted-printable": _quoted_printable,
}
