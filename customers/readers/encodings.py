"""Which encoding a file is in, decided from all of its bytes and the same way every time.

Order: byte order mark, NUL pattern of UTF-16, valid UTF-8 (nearly valid is refused), GB18030, Western European, and
only for what is left (other scripts) the statistics of charset-normalizer. The whole file is read: the first umlaut
of a customer list may be in its last line. 48 MB take 0.1 s.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

from core.errors import ImportFailed, UsageError
from core.names import did_you_mean
from customers.readers.opening import blocks

#: UTF-32 begins like UTF-16, so it comes first.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFFERED: Final = ("utf-8", "utf-16", "gb18030", "latin-1", "cp1252", "big5", "shift_jis", "cp1250", "cp1251")
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")
#: Bytes that mean nothing in Windows-1252; with them the text is ISO 8859-1 or no Western text at all.
_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
#: What `surrogateescape` makes of a byte that is no UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")
#: In GB18030 and Western texts the bytes that are no UTF-8 outnumber the chance sequences that are, by far.
_MIN_SEQUENCES, _SEQUENCES_PER_STRAY = 3, 4
_SAMPLE = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Detected:
    """An encoding (a codec name of Python), the evidence for it, and how many line ends the file has."""

    encoding: str
    because: str
    line_count: int


def detect(path: Path, override: str | None = None) -> Detected:
    """The encoding of the whole file, or `override` when given.

    Raises:
        UsageError: `override` is no encoding.
        ImportFailed: the file cannot be read, is too large, or is UTF-8 but for a few bytes.
    """
    if override is not None:
        line_count = sum(block.count(b"\n") for block in blocks(path))
        return Detected(_codec_name(override), "as told", line_count)
    survey = _survey(path)
    if survey.decided:
        return Detected(*survey.decided, survey.line_count)
    return Detected(*_without_unicode(path), survey.line_count)


def _codec_name(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        # `hex` and `rot13` are codecs but no encodings of text, and `undefined` encodes none.
        "a,b".encode(name).decode(name)
    except (LookupError, UnicodeError, ValueError):
        hint = did_you_mean(name.lower(), _OFFERED, limit=len(_OFFERED))
        raise UsageError(f"no such encoding (got {name!r})", hint=hint) from None
    # A mark at the start is never part of the first column's name.
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


@dataclass(frozen=True, slots=True)
class _Survey:
    decided: tuple[str, str] | None
    line_count: int


def _survey(path: Path) -> _Survey:
    decided: tuple[str, str] | None = None
    line_count, is_first, is_ascii = 0, True, True
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    for block in blocks(path):
        line_count += block.count(b"\n")
        if is_first:
            decided, is_first = _from_start(block), False
        is_ascii = is_ascii and block.isascii()
        utf8 = utf8 if utf8 and _still_decodes(utf8, block) else None
    if decided is None and utf8 and _still_decodes(utf8, b"", final=True):
        decided = ("utf-8", "plain ASCII" if is_ascii else "valid UTF-8")
    return _Survey(decided, line_count)


def _from_start(block: bytes) -> tuple[str, str] | None:
    for mark, encoding in _MARKS:
        if block.startswith(mark):
            return encoding, "byte order mark"
    even, odd = block[:4096:2].count(0), block[1:4096:2].count(0)
    if odd and not even:
        return "utf-16-le", "every other byte is NUL"
    if even and not odd:
        return "utf-16-be", "every other byte is NUL"
    return None


def _still_decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_nearly_utf8(path: Path) -> None:
    """The file is not UTF-8 with a few stray bytes, as files pasted together are: any guess would spoil names.

    Raises:
        ImportFailed: it is.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    high = stray = 0
    line, first_stray = 1, ""
    for block in chain(blocks(path), (b"",)):
        text = decoder.decode(block, not block)
        found = _ESCAPED.findall(text)
        if found and not first_stray:
            first_stray = found[0]
            line += text.count("\n", 0, text.index(first_stray))
        elif not first_stray:
            line += text.count("\n")
        stray += len(found)
        high += len(text) - len(text.encode("ascii", "ignore"))
    if high - stray >= max(_MIN_SEQUENCES, _SEQUENCES_PER_STRAY * stray):
        raise ImportFailed(
            f"UTF-8 text but for {stray:,} of its bytes (the first is 0x{ord(first_stray) - 0xDC00:02X} in this line)",
            where=f"{path}:{line}",
            hint="mend the line, or say with --encoding how to read the whole file, such as --encoding cp1252",
        )


def _without_unicode(path: Path) -> tuple[str, str]:
    _refuse_nearly_utf8(path)
    if _is_chinese(blocks(path)):
        return "gb18030", "valid GB18030, mostly common characters"
    in_short = in_long = 0  # high bytes in runs of one or two: accented letters; in longer ones: another script
    sample = bytearray()
    is_cp1252 = True
    for block in blocks(path):
        runs = _HIGH_RUNS.findall(block)
        lengths = [len(run) for run in runs]
        in_short += sum(length for length in lengths if length <= 2)
        in_long += sum(length for length in lengths if length > 2)
        is_cp1252 = is_cp1252 and not _NOT_CP1252.search(block)
        if runs and len(sample) < _SAMPLE:
            sample += block[: _SAMPLE - len(sample)]
    western = "cp1252" if is_cp1252 else "latin-1"
    if in_short >= in_long:
        return western, "single accented letters; give --encoding if names read wrongly"
    return _by_statistics(bytes(sample)) or (western, "no better guess")


def _is_chinese(content: Iterable[bytes]) -> bool:
    """Whether the content is GB18030 and half of its characters are everyday ones.

    Validity alone does not decide: two umlauts side by side are a valid but rare Chinese character.
    """
    common = total = 0
    try:
        for text in _decoded(content):
            total += len(text) - len(text.encode("ascii", "ignore"))
            common += len(_everyday_chinese().findall(text))
    except UnicodeDecodeError:
        return False
    return total > 0 and common * 2 >= total


def _decoded(content: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("gb18030")()
    for block in content:
        yield decoder.decode(block)
    yield decoder.decode(b"", True)


@lru_cache(maxsize=1)
def _everyday_chinese() -> re.Pattern[str]:
    """Punctuation, full-width forms (A1–A3) and the 3,755 first-level characters (B0–D7) of GB 2312."""
    leads = (*range(0xA1, 0xA4), *range(0xB0, 0xD8))
    cells = (bytes((lead, trail)) for lead in leads for trail in range(0xA1, 0xFF))
    characters = "".join(cell.decode("gb2312", "ignore") for cell in cells)
    return re.compile(f"[{re.escape(characters)}]")


def _by_statistics(sample: bytes) -> tuple[str, str] | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: sample.rfind(b"\n") + 1] or sample).best()
    return (best.encoding, "letter statistics; give --encoding if names read wrongly") if best else None
