"""What is wrong in an expression: the place, the words, and the lines a person sees."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ExpressionError, Problem


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `at` is the 0-based offset into the expression's text."""

    at: int
    message: str
    hint: str = ""


class Wrong(Exception):
    """The part of the expression being read holds mistakes."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(mistakes[0].message)
        self.mistakes = mistakes


def wrong(at: int, message: str, hint: str = "") -> Wrong:
    """The exception for one mistake."""
    return Wrong(Mistake(at, message, hint))


def line_of(text: str, at: int) -> int:
    """The 0-based line of the offset."""
    return text.count("\n", 0, at)


def excerpt(text: str, at: int) -> str:
    """The line of `text` with the offset in it, and a caret under it, as wide as a terminal shows it."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)].rstrip()
    return f"{line}\n{''.join(map(_blank, text[start:at]))}^"


def _blank(char: str) -> str:
    if char == "\t":
        return "\t"
    if unicodedata.combining(char):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "


def as_problem(mistake: Mistake, text: str, file: str, first_line: int) -> Problem:
    """The mistake located in the file in which `text` begins on `first_line`."""
    line = first_line + line_of(text, mistake.at)
    return Problem(file, line, mistake.message, mistake.hint, excerpt(text, mistake.at))


def as_error(mistakes: Sequence[Mistake], text: str, *, file: str = "", first_line: int = 1) -> ExpressionError:
    """Every mistake of one expression as one error; a single one keeps its hint apart."""
    if len(mistakes) == 1:
        (only,) = mistakes
        shown = "\n".join(f"    {row}" for row in excerpt(text, only.at).splitlines())
        where = f"{file}:{first_line + line_of(text, only.at)}" if file else ""
        return ExpressionError(f"{only.message}\n{shown}", hint=only.hint, where=where)
    problems = [as_problem(mistake, text, file or "expression", first_line) for mistake in mistakes]
    return ExpressionError("\n".join(map(str, problems)))
