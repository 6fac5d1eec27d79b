"""The words of a report that are meant for people, without the mail that came back."""

import re
from typing import Final

from tracking.inbound.charsets import text_of_html
from tracking.inbound.mime import Mail, Part

#: Of one mail: reports are short, and what they quote does not count.
LONGEST: Final = 16 * 1024
_LONGEST_LINE: Final = 250
_LINES: Final = 500
_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n\s*\n")
_SHOWN: Final = frozenset({"text/plain", "text/html"})

#: Lines from which on the mail that came back is quoted.
_QUOTED: Final = re.compile(
    r"^[\s>*|]*-{2,}.{0,40}\b(original|copy|returned? (mail|message)|header|unsent|forwarded)\b"
    r"|^[\s>*|]*-{2,}.{0,40}\bmessage (text|body|header)\b"
    r"|^[\s|]*-{3,}.{0,6}message text follows"
    r"|^.{0,30}\boriginal message (follows|headers?|below)"
    r"|^.{0,40}copy of (the|your) (original )?message\b.{0,30}(:|below)"
    r"|^(your message reads|a summary of the undelivered message|message headers follow|included is a copy)"
    r"|^>?(return-path|received): |^---+ ?start of returned",
    re.IGNORECASE,
)


_BANNER: Final = re.compile(r"\s*\*{3,}[^*]*\*{3,}\s*$")


def texts(part: Part) -> list[Part]:
    """The parts to be read by people, not those of mails enclosed in it, and no attachments."""
    return [
        one
        for one in part.walk()
        if one.kind in _SHOWN
        and one.enclosed == part.enclosed
        and not one.first("content-disposition").lower().startswith("attachment")
    ]


def text_of(part: Part, most: int = LONGEST) -> str:
    """The part's words, of at most `most` characters."""
    if part.kind == "text/html":
        return text_of_html(part.text(4 * most))[:most]
    return part.text(most)


def cut_lines(text: str) -> str:
    """`text` with no more and no longer lines than reports have: patterns stay quick."""
    lines = _BLANK_LINES.sub("\n\n", text[:LONGEST]).split("\n")[:_LINES]
    return "\n".join(line[:_LONGEST_LINE] for line in lines)


def report_text(mail: Mail) -> str:
    """What the report says for people, up to where it quotes; of alternatives the plain one.

    Reports that are enclosed in another automatic mail count as well.
    """
    level = min((part.enclosed for part in mail.top.walk() if part.kind in _SHOWN), default=0)
    shown = [part for part in mail.top.walk() if part.kind in _SHOWN and part.enclosed == level]
    plain = [part for part in shown if part.kind == "text/plain"] or shown
    return unquoted(cut_lines("\n".join(text_of(part) for part in plain[:10])))


def unquoted(text: str) -> str:
    """`text` up to the line where the mail that came back begins, without banners, which name products."""
    lines = [line for line in text.split("\n") if not _BANNER.match(line)]
    end = next((number for number, line in enumerate(lines) if number and _QUOTED.search(line)), len(lines))
    return "\n".join(lines[:end])


def near(text: str, recipient: str, others: list[str]) -> str:
    """The lines about one recipient: from where the address stands to where the next one's begin."""
    lines = text.split("\n")
    lowered = [line.lower() for line in lines]
    begin = next((number for number, line in enumerate(lowered) if recipient.lower() in line), None)
    if begin is None or not recipient:
        return ""
    strangers = [other.lower() for other in others if other.lower() != recipient.lower()]
    block: list[str] = []
    for number in range(begin, min(begin + 12, len(lines))):
        if number > begin and any(stranger in lowered[number] for stranger in strangers):
            break
        block.append(lines[number].strip())
    return " ".join(filter(None, block))[:1000]
