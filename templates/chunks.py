"""A template cut into what is sent as it stands and what Jinja works out, each piece with its place.

Everything that must not disturb Jinja's code (MJML, CSS, HTML, plain text) works on these pieces.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from jinja2 import Environment, TemplateSyntaxError

from core.errors import Problem


class Kind(Enum):
    """What a chunk is."""

    DATA = "data"  #: sent as it stands
    PRINT = "print"  #: {{ … }}
    TAG = "tag"  #: {% … %}
    LITERAL = "literal"  #: the inside of {% raw %}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece. `text` is without delimiters; `file` and `line` are where it was written."""

    kind: Kind
    text: str
    file: str
    line: int

    @property
    def keyword(self) -> str:
        """The first word of a tag: `if`, `endfor`, …; empty for anything else."""
        match = re.match(r"\s*(\w+)", self.text) if self.kind is Kind.TAG else None
        return match.group(1) if match else ""

    @property
    def code(self) -> str:
        """The piece as Jinja reads it.

        Code begins on a line of its own *inside* its delimiters, which prints nothing and lets a line of the
        finished template be traced to this chunk.
        """
        if self.kind is Kind.PRINT:
            return "{{\n" + self.text + "}}"
        if self.kind is Kind.TAG:
            return "{%\n" + self.text + "%}"
        return "{% raw %}" + self.text + "{% endraw %}"

    def problem(self, message: str, hint: str = "") -> Problem:
        """A mistake at this chunk."""
        return Problem(self.file, self.line, message, hint)


#: Only its lexer is used. A tag alone on its line leaves no blank line behind.
_LEXER: Final = Environment(  # noqa: S701  nothing is rendered with it
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)
OPENERS: Final = frozenset({"if", "for", "macro", "call", "filter", "with", "block"})


def cut(text: str, file: str, line: int = 1) -> tuple[list[Chunk], list[Problem]]:
    """`text`, which begins at `line` of `file`, as chunks; comments are left out."""
    found: list[Chunk] = []
    kind, start, parts = Kind.DATA, line, list[str]()
    try:
        for number, part, value in _LEXER.lexer.tokeniter(text, None):
            place = number + line - 1
            if part in ("variable_begin", "block_begin", "raw_begin"):
                kind, start, parts = _KIND_OF[part], place, []
            elif part in ("variable_end", "block_end", "raw_end"):
                found.append(Chunk(kind, "".join(parts), file, start))
                kind = Kind.DATA
            elif part == "data" and kind is Kind.DATA:
                found.append(Chunk(Kind.DATA, value, file, place))
            elif not part.startswith("comment"):
                parts.append(value)
    except TemplateSyntaxError as error:
        return found, [Problem(file, error.lineno + line - 1, *_lexical(error.message or ""))]
    return found, []


_KIND_OF: Final = {"variable_begin": Kind.PRINT, "block_begin": Kind.TAG, "raw_begin": Kind.LITERAL}


def _lexical(message: str) -> tuple[str, str]:
    if "end of comment" in message:
        return "a comment '{#' is never closed", "close it with '#}'; in CSS write '{ #name' with a blank"
    return message, ""


def depths(chunks: Iterable[Chunk]) -> list[int]:
    """For each chunk, how many conditions, loops and macros it stands in."""
    depth, found = 0, []
    for chunk in chunks:
        keyword = chunk.keyword
        if keyword.startswith("end"):
            depth -= 1
        found.append(depth)
        if keyword in OPENERS or (keyword == "set" and "=" not in chunk.text):
            depth += 1
    return found


@dataclass(slots=True)
class Script:
    """A template put together from pieces, which knows where each of its lines came from."""

    parts: list[str] = field(default_factory=list)
    _line: int = 1
    _starts: list[int] = field(default_factory=list)
    _chunks: list[Chunk] = field(default_factory=list)

    def add(self, piece: Chunk | str) -> None:
        """`piece` stands at the end; a text is sent as it stands, whatever braces it holds."""
        text = _inert(piece) if isinstance(piece, str) else piece.code
        if isinstance(piece, Chunk):
            self._starts.append(self._line + (piece.kind is not Kind.LITERAL))
            self._chunks.append(piece)
        self._line += text.count("\n")
        self.parts.append(text)

    @property
    def text(self) -> str:
        """The template."""
        return "".join(self.parts)

    def origin(self, line: int) -> tuple[str, int]:
        """File and line of what stands at `line` (1-based)."""
        index = bisect_right(self._starts, line) - 1
        if index < 0:
            return (self._chunks[0].file, self._chunks[0].line) if self._chunks else ("", 0)
        chunk = self._chunks[index]
        offset = min(line - self._starts[index], chunk.text.count("\n"))
        return chunk.file, chunk.line + offset


def _inert(text: str) -> str:
    """`text` written so that Jinja prints exactly it."""
    return re.sub(r"\{(?=[{%#]|\Z)", "{{ '{' }}", text)


def script_of(chunks: Iterable[Chunk]) -> Script:
    """The template made of `chunks`."""
    script = Script()
    for chunk in chunks:
        script.add(chunk.text if chunk.kind is Kind.DATA else chunk)
    return script
