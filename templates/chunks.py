"""A template cut into what is sent as it stands and what Jinja works out, each piece with its place.

Everything that must not disturb Jinja's code (MJML, CSS, HTML, plain text) works on these pieces.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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
    COMMENT = "comment"  #: {# … #}, which nobody gets to see


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


#: Only its lexer is used.
_LEXER: Final = Environment(keep_trailing_newline=True)  # noqa: S701  nothing is rendered with it
OPENERS: Final = frozenset({"if", "for", "macro", "call", "filter", "with", "block"})


def cut(text: str, file: str, line: int = 1) -> tuple[list[Chunk], list[Problem]]:
    """`text`, which begins at `line` of `file`, as chunks; comments are left out.

    A tag or comment alone on its line takes the line with it, as people expect; one beside other text does not.
    """
    found: list[Chunk] = []
    kind, start, parts = Kind.DATA, line, list[str]()
    problems: list[Problem] = []
    try:
        for number, part, value in _LEXER.lexer.tokeniter(text, None):
            place = number + line - 1
            if part in _KIND_OF:
                kind, start, parts = _KIND_OF[part], place, []
            elif part.endswith("_end"):
                found.append(Chunk(kind, "".join(parts), file, start))
                kind = Kind.DATA
            elif part == "data" and kind is Kind.DATA:
                found.append(Chunk(Kind.DATA, value, file, place))
            else:
                parts.append(value)
    except TemplateSyntaxError as error:
        problems.append(Problem(file, error.lineno + line - 1, *_lexical(error.message or "")))
    return [chunk for chunk in _own_lines_removed(found) if chunk.kind is not Kind.COMMENT], problems


_KIND_OF: Final = {
    "variable_begin": Kind.PRINT,
    "block_begin": Kind.TAG,
    "raw_begin": Kind.LITERAL,
    "comment_begin": Kind.COMMENT,
}
_SILENT: Final = (Kind.TAG, Kind.COMMENT)


def _own_lines_removed(chunks: list[Chunk]) -> list[Chunk]:
    """The chunks without the blanks and line breaks of lines that hold nothing but tags and comments."""
    trimmed = list(chunks)
    index = 0
    while index < len(chunks):
        if chunks[index].kind not in _SILENT:
            index += 1
            continue
        end = index
        while end < len(chunks) and chunks[end].kind in _SILENT:
            end += 1
        before = trimmed[index - 1] if index else None
        after = trimmed[end] if end < len(chunks) else None
        head, tail = _line_start(before), _line_end(after)
        if head is not None and tail is not None:
            if before is not None:
                trimmed[index - 1] = replace(before, text=before.text[:head])
            if after is not None:
                trimmed[end] = replace(after, text=after.text[tail:], line=after.line + 1)
        index = end
    return trimmed


def _line_start(before: Chunk | None) -> int | None:
    """Where in `before` the line begins that holds only blanks at its end; None when there is more on it."""
    if before is None:
        return 0
    kept = before.text.rstrip(" \t")
    return len(kept) if before.kind is Kind.DATA and kept[-1:] in ("\n", "") else None


def _line_end(after: Chunk | None) -> int | None:
    """Where in `after` the next line begins when only blanks come before it; None when there is more."""
    if after is None:
        return 0
    match = re.match(r"[ \t]*\n", after.text)
    return match.end() if after.kind is Kind.DATA and match else None


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
