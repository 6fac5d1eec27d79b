"""Markdown made HTML, with Jinja's code untouched."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from templates.chunks import Chunk, Kind
from templates.masking import Mask, hide_in_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # takes as long to load as Jinja, and most workspaces have no such file

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def through_markdown(chunks: Sequence[Chunk], file: str) -> list[Chunk]:
    """The chunks of a Markdown text as chunks of HTML."""
    mask = Mask.of(chunk.text for chunk in chunks)
    following = [*chunks[1:], None]
    text = "".join(_hidden(chunk, after, mask) for chunk, after in zip(chunks, following, strict=True))
    return mask.chunks(_parser().render(text), file)


def _hidden(chunk: Chunk, after: Chunk | None, mask: Mask) -> str:
    """A tag becomes a comment, so that no paragraph is made of it.

    A tag alone on its line took the line break with it; here it gets it back, or Markdown would take the next line
    for HTML.
    """
    if chunk.kind is not Kind.TAG:
        return hide_in_text([chunk], mask)
    broke = after is not None and after.line > chunk.line + chunk.text.count("\n")
    return f"<!--{mask.word(chunk)}-->" + ("\n" if broke else "")
