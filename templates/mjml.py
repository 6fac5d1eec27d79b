"""MJML made HTML, with the mistakes `mrml` passes over or reports without a place found beforehand."""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import mrml

from core.errors import Problem
from core.names import near_miss
from templates.chunks import Chunk
from templates.words import words

_ELEMENTS: Final = words(
    "mjml mj-head mj-body mj-include mj-attributes mj-all mj-class mj-breakpoint mj-font mj-html-attributes "
    "mj-selector mj-html-attribute mj-preview mj-style mj-title mj-accordion mj-accordion-element "
    "mj-accordion-title mj-accordion-text mj-button mj-carousel mj-carousel-image mj-column mj-divider mj-group "
    "mj-hero mj-image mj-navbar mj-navbar-link mj-raw mj-section mj-social mj-social-element mj-spacer mj-table "
    "mj-text mj-wrapper"
)
_VOID: Final = words("area base br col embed hr img input link meta source track wbr")
_TAG = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<!doctype[^>]*>"
    r"|<(?P<close>/)?(?P<name>[a-zA-Z][\w:-]*)(?:[^\"'>]|\"[^\"]*\"|'[^']*')*?(?P<empty>/)?>",
    re.DOTALL | re.IGNORECASE,
)
#: MJML's own reset, meant for the head: inlined into every table cell it doubled the size of a mailing.
_OWN_STYLE = re.compile(r"<style(?=[^>]*>\s*#outlook)")
_BARE_AMPERSAND = re.compile(r"&(?!#?\w+;)")


class Places:
    """Where the characters of a text put together from chunks were written."""

    def __init__(self, chunks: Sequence[Chunk], parts: Sequence[str]) -> None:
        self._chunks, self._parts = chunks, parts
        self._ends = list(accumulate(map(len, parts)))

    def problem(self, offset: int, message: str, hint: str = "") -> Problem:
        """A mistake at `offset`."""
        for chunk, part, end in zip(self._chunks, self._parts, self._ends, strict=True):
            if offset < end:
                line = chunk.line + part[: max(0, offset - end + len(part))].count("\n")
                return Problem(chunk.file, line, message, hint)
        last = self._chunks[-1]
        return Problem(last.file, last.line, message, hint)


def check_elements(text: str, places: Places) -> list[Problem]:
    """Elements that are unknown, never closed, or closed without being open."""
    problems: list[Problem] = []
    open_elements: list[tuple[str, int]] = []
    for match in _TAG.finditer(text):
        name = (match.group("name") or "").lower()
        if not name:
            continue
        if name.startswith("mj") and name not in _ELEMENTS:
            close = near_miss(name, _ELEMENTS)
            hint = f"did you mean <{close}>?" if close else ""
            problems.append(places.problem(match.start(), f"MJML has no element <{name}>", hint))
        elif name == "mj-include":
            hint = 'write {% include "folder/name.mjml" %}'
            problems.append(places.problem(match.start(), "<mj-include> is not used here", hint))
        if match.group("close"):
            _close(name, match.start(), open_elements, places, problems)
        elif not match.group("empty") and name not in _VOID:
            open_elements.append((name, match.start()))
    problems += [places.problem(at, f"<{name}> is never closed", f"add </{name}>") for name, at in open_elements]
    return problems


def _close(name: str, at: int, open_elements: list[tuple[str, int]], places: Places, problems: list[Problem]) -> None:
    """The innermost open element ends, or a problem says which element should have been closed first."""
    if not any(opened == name for opened, _ in open_elements):
        if name not in _VOID:
            problems.append(places.problem(at, f"</{name}> closes an element that is not open"))
        return
    while open_elements:
        opened, start = open_elements.pop()
        if opened == name:
            return
        problems.append(places.problem(start, f"<{opened}> is not closed before </{name}>", f"add </{opened}>"))


def to_html(text: str, places: Places) -> tuple[str, list[Problem]]:
    """`text` as HTML, with the mistakes that were found; with any, the HTML is empty."""
    problems = check_elements(text, places)
    if problems:
        return "", problems
    try:
        html = mrml.to_html(_BARE_AMPERSAND.sub("&amp;", text)).content
    except OSError as error:
        offset = re.search(r"position (\d+):", str(error))
        at = int(offset.group(1)) if offset else 0
        return "", [places.problem(at, f"MJML: {error}")]
    return _OWN_STYLE.sub(r'<style data-css-inline="ignore"', html, count=1), []
