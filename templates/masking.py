"""Jinja's code hidden behind plain words while other tools work on the text, and brought back after.

MJML, CSS inlining and Markdown read HTML, not Jinja: a `<` in a condition breaks them, and text between table
rows is moved out of the table. So each piece of code becomes a word of small letters and digits; a tag that
stands in a tag's place becomes an attribute, and before HTML is parsed, a tag between elements a comment.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from core.errors import Problem
from templates.chunks import OPENERS, Chunk, Kind, Script

Piece = Chunk | str


class Place(Enum):
    """Where in HTML a chunk stands."""

    TEXT = "text"  #: between elements
    TAG = "tag"  #: inside <…>, outside quotes
    VALUE = "value"  #: inside a quoted attribute value, or an unquoted one
    COMMENT = "comment"  #: inside <!-- … -->
    RAW = "raw"  #: inside <style>, <title> and the like, where HTML has no elements


_OPENS: Final = re.compile(r"<!--|<(?=[a-zA-Z/!?])")
_RAW_ELEMENT: Final = re.compile(r"<(style|script|title|textarea|mj-style|mj-title)\b[^<]*\Z", re.IGNORECASE)


@dataclass(slots=True)
class _Scanner:
    """Follows HTML and tells at any moment what one is inside of."""

    place: Place = Place.TEXT
    tags_ended: int = 0
    _quote: str = ""
    _raw: str = ""
    _tag: str = ""

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            position = self._step(text, position)

    def _step(self, text: str, position: int) -> int:
        if self.place is Place.TEXT:
            return self._text(text, position)
        if self.place is Place.TAG:
            return self._inside_tag(text, position)
        end = {Place.VALUE: self._quote, Place.COMMENT: "-->", Place.RAW: f"</{self._raw}"}[self.place]
        found = text.lower().find(end, position) if self.place is Place.RAW else text.find(end, position)
        if found < 0:
            return len(text)
        self._tag = "</" if self.place is Place.RAW else self._tag
        self.place = Place.TEXT if self.place is Place.COMMENT else Place.TAG
        return found + len(end)

    def _text(self, text: str, position: int) -> int:
        match = _OPENS.search(text, position)
        if match is None:
            return len(text)
        self.place, self._tag = (Place.COMMENT, "") if match.group() == "<!--" else (Place.TAG, "<")
        return match.end()

    def _inside_tag(self, text: str, position: int) -> int:
        match = re.compile(r"=\s*([\"'])|>").search(text, position)
        self._tag += text[position : match.start() if match else len(text)]
        if match is None:
            return len(text)
        if match.group(1):
            self.place, self._quote = Place.VALUE, match.group(1)
            return match.end()
        self.tags_ended += 1
        raw = _RAW_ELEMENT.match(self._tag)
        closed = self._tag.rstrip().endswith("/")
        self.place, self._raw = (Place.RAW, raw.group(1).lower()) if raw and not closed else (Place.TEXT, "")
        return match.end()

    def unquoted(self) -> bool:
        """Whether the tag just read ends in `name=`, so that an unquoted value follows."""
        return self.place is Place.TAG and bool(re.search(r"=\s*[^\s\"'>]*\Z", self._tag))


@dataclass(slots=True)
class Mask:
    """The hidden pieces, each under its word."""

    prefix: str
    entries: list[tuple[Piece, ...]] = field(default_factory=list)
    _seen: dict[tuple[Piece, ...], str] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Mask":
        """A mask whose words occur in none of `texts`."""
        taken, prefix = "\n".join(texts).lower(), "jx"
        while prefix in taken:
            prefix += "q"
        return cls(prefix)

    def word(self, *pieces: Piece) -> str:
        """The word that stands for `pieces`."""
        self.entries.append(pieces)
        return f"{self.prefix}{len(self.entries) - 1}z"

    @property
    def word_pattern(self) -> str:
        return rf"{self.prefix}(\d+)z"

    def words_in(self, text: str) -> list[int]:
        """The numbers of the words in `text`, in order."""
        return [int(number) for number in re.findall(self.word_pattern, text)]

    def has_code(self, text: str) -> bool:
        """Whether `text` holds a word."""
        return self.prefix in text and re.search(self.word_pattern, text) is not None

    def pieces(self, text: str) -> list[Piece]:
        """`text` with every word replaced by what it stands for."""
        pattern = rf"\s?{self.word_pattern}=\"\"|<!--{self.word_pattern}-->|{self.word_pattern}"
        found: list[Piece] = []
        position = 0
        for match in re.finditer(pattern, text):
            found.append(text[position : match.start()] + (" " if match.group(1) else ""))
            found += self.entries[int(next(filter(None, match.groups())))]
            position = match.end()
        found.append(text[position:])
        return [piece for piece in found if piece != ""]

    def chunks(self, text: str, file: str) -> list[Chunk]:
        """`text` as chunks; what is not code counts as written at the top of `file`."""
        return [Chunk(Kind.DATA, piece, file, 1) if isinstance(piece, str) else piece for piece in self.pieces(text)]

    def script(self, prologue: Sequence[Chunk], text: str) -> Script:
        """The Jinja template of `text`, after the definitions of `prologue`."""
        script = Script()
        for chunk in prologue:
            if chunk.kind is not Kind.DATA or chunk.text.strip():
                script.add(chunk.text if chunk.kind is Kind.DATA else chunk)
        for piece in self.pieces(text):
            script.add(piece)
        return script

    def commented(self, html: str) -> str:
        """`html` with the tags that stand between elements as comments, which may stand anywhere."""
        markup = r"<!--.*?-->|<(style|script|title|textarea)\b.*?</\1|<[a-z/!?](?:[^\"'>]|\"[^\"]*\"|'[^']*')*>"
        pattern = rf"(?is){markup}|{self.word_pattern}"

        def replace(match: re.Match[str]) -> str:
            number = match.group(2)
            if number is None or not self._is_tag(int(number)):
                return match.group()
            return f"<!--{match.group()}-->"

        return re.sub(pattern, replace, html)

    def _is_tag(self, number: int) -> bool:
        pieces = self.entries[number]
        return len(pieces) == 1 and isinstance(pieces[0], Chunk) and pieces[0].kind is Kind.TAG

    def balanced(self, text: str) -> str:
        """`text` up to the first tag that would close something opened outside of it, or is not closed in it."""
        depth, balanced_to = 0, 0
        for match in re.finditer(self.word_pattern, text):
            if not self._is_tag(int(match.group(1))):
                continue
            chunk = self.entries[int(match.group(1))][0]
            keyword = chunk.keyword if isinstance(chunk, Chunk) else ""
            if depth == 0:
                balanced_to = match.start()
            if keyword.startswith("end"):
                depth -= 1
            elif keyword in OPENERS:
                depth += 1
            if depth < 0:
                return text[:balanced_to]
        return text if depth == 0 else text[:balanced_to]

    def lost(self, masked: str, text: str) -> list[Chunk]:
        """The code whose words were in `masked` and are no longer in `text`."""
        numbers = sorted(set(self.words_in(masked)) - set(self.words_in(text)))
        return [piece for number in numbers for piece in self.entries[number] if isinstance(piece, Chunk)]


@dataclass(slots=True)
class _Hider:
    """Hides chunks one after the other. `group`: what stands from `{% if %}` to `{% endif %}` inside a tag.

    Such a group hides behind one word, because the CSS step sorts the attributes of an element.
    """

    mask: Mask
    scanner: _Scanner = field(default_factory=_Scanner)
    parts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    group: list[Piece] = field(default_factory=list)
    depth: int = 0

    def add(self, chunk: Chunk) -> None:
        """`chunk` is hidden: one more text is in `parts`."""
        if self.group:
            self.parts.append(self._grouped(chunk))
        elif chunk.kind is Kind.DATA:
            self.scanner.feed(chunk.text)
            self.parts.append(chunk.text)
        elif self.scanner.place is Place.TAG and not self.scanner.unquoted():
            self.parts.append(self._inside_tag(chunk))
        else:
            word = self.mask.word(chunk)
            if self.scanner.unquoted():
                self.scanner.feed(word)
            elif self.scanner.place is Place.COMMENT and self.parts and self.parts[-1].rstrip().endswith("="):
                self.problems.append(chunk.problem("a value stands in an unquoted attribute", _QUOTE))
            self.parts.append(word)

    def _inside_tag(self, chunk: Chunk) -> str:
        if chunk.kind is not Kind.TAG:
            self.problems.append(chunk.problem("a value stands inside a tag, outside quotes", _QUOTE))
        elif chunk.keyword not in OPENERS:
            self.problems.append(chunk.problem(f"{{% {chunk.text.strip()} %}} stands inside a tag", _WHOLE))
        else:
            self.group, self.depth = [chunk], 1
        return ""

    def _grouped(self, chunk: Chunk) -> str:
        """The word of the group once `chunk` has closed it; until then nothing."""
        self.group.append(chunk.text if chunk.kind is Kind.DATA else chunk)
        if chunk.kind is Kind.DATA:
            ended = self.scanner.tags_ended
            self.scanner.feed(chunk.text)
            if self.scanner.tags_ended > ended or _FOLLOWED.search(chunk.text):
                return self._give_up()
            return ""
        if self.scanner.place is Place.TAG and chunk.kind is not Kind.TAG:
            return self._give_up()
        self.depth += (chunk.keyword in OPENERS) - chunk.keyword.startswith("end")
        if self.depth > 0:
            return ""
        if self.scanner.place is not Place.TAG or self.scanner.unquoted():
            return self._give_up()
        word = self.mask.word(*self.group)
        self.group = []
        return f' {word}="" '

    def close(self) -> None:
        """A group that is still open is a problem."""
        if self.group:
            self._give_up()

    def _give_up(self) -> str:
        place = next(piece for piece in self.group if isinstance(piece, Chunk))
        self.problems.append(place.problem("a condition inside a tag holds more than plain quoted attributes", _WHOLE))
        self.group = []
        return ""


_QUOTE: Final = 'put it into a quoted attribute value: name="{{ … }}"'
_WHOLE: Final = "put the condition inside one attribute value, or around the whole element"
#: A link, style or handler inside a condition inside a tag would escape the checks and the CSS step.
_FOLLOWED: Final = re.compile(r"\b(href|src|background|action|formaction|poster|style|on\w+)\s*=", re.IGNORECASE)


def hide_in_html(chunks: Iterable[Chunk], mask: Mask) -> tuple[list[str], list[Problem]]:
    """The chunks as HTML or MJML without Jinja, one text for each.

    A value where escaping cannot protect it is a problem.
    """
    hider = _Hider(mask)
    for chunk in chunks:
        hider.add(chunk)
    hider.close()
    return hider.parts, hider.problems


def hide_in_text(chunks: Iterable[Chunk], mask: Mask) -> str:
    """The chunks as plain text without Jinja."""
    return "".join(chunk.text if chunk.kind is Kind.DATA else mask.word(chunk) for chunk in chunks)
