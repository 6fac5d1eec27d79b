"""Bytes of mails made into text, whatever charset they claim and however their encoding is broken."""

import binascii
import codecs
import html
import re
from typing import Final

#: Names that mails use and Python does not know, and names whose superset is what people mean.
_NAMES: Final = {
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030", "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949", "iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "utf-8",
    "ascii": "utf-8", "shift_jis": "cp932", "x-sjis": "cp932", "unicode-1-1-utf-7": "utf-7",
    "iso-8859-8-i": "iso-8859-8",
}  # fmt: skip
#: Codecs that are not charsets; some of them take quadratic time.
_NEVER: Final = frozenset({"punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"})
_WORD: Final = re.compile(r"=\?([\w.:+-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?\s]{0,8192})\?=")
_BETWEEN_WORDS: Final = re.compile(r"(\?=)[ \t]+(?==\?)")
_PARAMETER: Final = re.compile(
    r""";\s*([\w.!#$%&'+^`{|}~-]{1,60}\*?)\s*=\s*(?:"((?:[^"\\]|\\.){0,1000})"|([^\s;"]{0,1000}))"""
)
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]+")
_BREAKS: Final = frozenset(("br", "p", "/p", "div", "/div", "tr", "/tr", "li", "h1", "h2", "h3", "/table", "hr"))
_HIDDEN: Final = frozenset(("script", "style", "title"))
_TAG_NAME: Final = re.compile(r"/?[a-zA-Z0-9]{1,20}")


def decoded(content: bytes, charset: str | None) -> str:
    """`content` as text: by its charset, else as UTF-8, else by a charset in which every byte is a character."""
    for name in (_usable(charset), "utf-8"):
        if name:
            try:
                return _sound(content.decode(name))
            except (UnicodeError, LookupError, ValueError):
                continue
    return _sound(content.decode(_usable(charset) or "latin-1", "replace"))


def _sound(text: str) -> str:
    """`text` without halves of characters, which UTF-7 can write and no database takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _usable(charset: str | None) -> str | None:
    name = (charset or "").strip().strip("'\"").lower()
    name = _NAMES.get(name, name)
    if not name or name.replace("_", "-") in _NEVER:
        return None
    try:
        found = codecs.lookup(name)
        b"".decode(found.name)
    except (LookupError, ValueError, UnicodeError):  # ValueError: a NUL in the name
        return None
    return None if found.name.replace("_", "-") in _NEVER else found.name


def decoded_header(value: str) -> str:
    """`value` with its encoded words decoded (RFC 2047); broken ones stay as they are."""
    if "=?" not in value:
        return value
    return _WORD.sub(_decoded_word, _BETWEEN_WORDS.sub(r"\1", value))


def _decoded_word(word: re.Match[str]) -> str:
    charset, encoding, content = word[1], word[2].lower(), word[3].encode("utf-8", "replace")
    raw = _base64(content) if encoding == "b" else binascii.a2b_qp(content, header=True)
    return decoded(raw, charset).replace("\x00", " ").replace("\n", " ")


def parameters(value: str) -> dict[str, str]:
    """The parameters of a Content-Type, continuations (RFC 2231) not joined."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value[:4096]):
        text = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        found.setdefault(match[1].lower().removesuffix("*0"), text)
    return found


def decoded_text(raw: bytes, start: int, end: int, most: int, encoding: str, charset: str | None) -> str:
    """The text between `start` and `end`, of at most about `most` characters."""
    content = raw[start : min(end, start + 4 * most)]
    if encoding == "base64":
        content = _base64(content)
    elif encoding == "quoted-printable":
        content = binascii.a2b_qp(content)
    text = decoded(content, charset)[:most]
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", " ")


def _base64(content: bytes) -> bytes:
    """As much of it as can be decoded: foreign characters are skipped, a torn end is left out."""
    clean = _NOT_BASE64.sub(b"", content)
    return binascii.a2b_base64(clean[: len(clean) // 4 * 4] + _tail(clean))


def _tail(clean: bytes) -> bytes:
    rest = clean[len(clean) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def text_of_html(source: str) -> str:
    """The words of an HTML text, a line for each of its lines. One pass, whatever is in it."""
    pieces: list[str] = []
    lowered, at = source.lower(), 0
    while True:
        opened = source.find("<", at)
        if opened < 0:
            pieces.append(source[at:])
            break
        pieces.append(source[at:opened])
        closed = source.find(">", opened)
        if closed < 0:
            break
        found = _TAG_NAME.match(source, opened + 1)
        name = found[0].lower() if found else ""
        if name in _BREAKS:
            pieces.append("\n")
        elif not name:  # `<person@example.com>` written as it is, or a comment
            pieces.append("" if source.startswith("!", opened + 1) else source[opened : closed + 1])
        elif "@" in source[opened:closed] and "=" not in source[opened:closed]:
            pieces.append(source[opened : closed + 1])
        at = closed + 1
        if name in _HIDDEN:
            at = lowered.find(f"</{name}", at)
            if at < 0:
                break
    return _unescaped("".join(pieces))


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text).replace("\xa0", " ")
    except ValueError:  # a number of thousands of digits
        return text
