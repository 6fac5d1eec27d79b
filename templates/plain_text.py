"""The text part of a mailing that has only HTML, made once when it is compiled, with Jinja's code still hidden."""

import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from typing import Final

from templates.words import words

_SKIPPED: Final = frozenset({"head", "style", "script", "title", "noscript", "template"})
_BLOCKS: Final = words(
    "p div section article header footer main table thead tbody ul ol blockquote pre form figure center"
)
_SPACED: Final = frozenset({"p", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "pre"})
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_VOID: Final = words("area base br col embed hr img input link meta source track wbr")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n\f\u200b\u200c\u034f\u00ad]+")


class _Writer(HTMLParser):
    """Collects text while the HTML goes by. Line breaks are held back until something follows them."""

    def __init__(self, link: Callable[[str, bool], str], is_code: Callable[[str], bool]) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._link = link
        self._is_code = is_code
        self._breaks = 0  # line breaks due before the next text
        self._at_line_start = True
        self._newlines = 2  # at the end of what is written
        self._hidden: list[str] = []  # the open elements inside a hidden one
        self._anchors: list[tuple[str, int, bool]] = []
        self._lists: list[int | None] = []
        self._url_at = -1  # where in `out` the last ": URL" stands

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if self._hidden or tag in _SKIPPED or _HIDDEN.search(attributes.get("style", "")):
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        if tag == "br":
            self._break(1, force=True)
        elif tag == "hr":
            self._rule()
        elif tag == "img":
            self._text(attributes.get("alt", ""))
        elif tag == "a":
            self._anchors.append((attributes.get("href", ""), len(self.out), "data-no-track" not in attributes))
        elif tag == "li":
            self._item()
        elif tag in ("td", "th") and not self._at_line_start and not self._breaks:
            self._write(" | ")
        elif tag in _BLOCKS or tag in _HEADINGS or tag == "tr":
            self._break(2 if tag in _SPACED else 1)
            if tag in ("ul", "ol"):
                self._lists.append(1 if tag == "ol" else None)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                while self._hidden.pop() != tag:
                    pass
            return
        if tag == "a" and self._anchors:
            self._close_anchor(*self._anchors.pop())
        elif tag == "li":
            self._break(1)
        elif tag in _BLOCKS or tag in _HEADINGS or tag == "tr":
            self._break(2 if tag in _SPACED else 1)
            if tag in ("ul", "ol") and self._lists:
                self._lists.pop()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text(data)

    def handle_comment(self, data: str) -> None:
        """A comment here is a condition or a loop; anything else is dropped."""
        if self._is_code(data):
            self._flush()
            self.out.append(data)
            if self._lists and self._lists[-1] is not None:
                self._lists[-1] = None  # in a loop or condition the numbers would be wrong

    def _text(self, data: str) -> None:
        text = _BLANKS.sub(" ", data)
        if self._at_line_start or self._breaks or (self.out and self.out[-1].endswith(" ")):
            text = text.lstrip(" ")
        if text[:1] in tuple(".,;:!?)") and self._url_at == len(self.out) - 1 and not self._breaks:
            self.out[-1] = f" <{self.out[-1].removeprefix(': ')}>"  # or the sign would become part of the address
        if text:
            self._write(text)

    def _write(self, text: str) -> None:
        self._flush()
        self.out.append(text)
        self._at_line_start = False
        self._newlines = 0

    def _break(self, count: int, *, force: bool = False) -> None:
        if force and self._at_line_start:
            count += self._newlines
        self._breaks = min(2, max(self._breaks + (1 if force else 0), count))

    def _flush(self) -> None:
        missing = self._breaks - self._newlines
        if self._breaks and missing > 0:
            if self.out and self.out[-1].endswith(" "):
                self.out[-1] = self.out[-1].rstrip(" ")
            self.out.append("\n" * missing)
            self._newlines += missing
            self._at_line_start = True
        self._breaks = 0

    def _rule(self) -> None:
        self._break(2)
        self._write("-" * 40)
        self._break(2)

    def _item(self) -> None:
        self._break(1)
        number = self._lists[-1] if self._lists else None
        self._write(f"{number}. " if number is not None else "- ")
        if number is not None:
            self._lists[-1] = number + 1

    def _close_anchor(self, href: str, start: int, track: bool) -> None:
        """`label: URL`; the address alone when it is its own label; the label alone inside the page."""
        if not href or href.startswith("#"):
            return
        bare = re.sub(r"^(mailto|tel):", "", href)
        shown = bare if bare != href else self._link(escape(href), track)
        label = "".join(self.out[start:]).strip()
        if label and label not in (href, bare):
            self._write(f": {shown}")
            self._url_at = len(self.out) - 1
            return
        first = next((at for at in range(start, len(self.out)) if self.out[at].strip()), len(self.out))
        del self.out[first:]
        self._write(shown)


def text_of(html: str, *, link: Callable[[str, bool], str], is_code: Callable[[str], bool]) -> str:
    """The readable text of `html`.

    `link` is given the target of each link, escaped as in HTML, and whether it may be tracked, and says what to
    print for it;
    `is_code` tells which comments are hidden conditions and loops, whose words are kept in their place.
    """
    writer = _Writer(link, is_code)
    writer.feed(html)
    writer.close()
    return "".join(writer.out).strip() + "\n"
