"""Answers as a page or a program gives them, checked against the survey's questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from campaigns.surveys.definition import HIGHEST, Question, SurveyFile
from core.plain_text import plain

#: A rating, the names of the choices, or words.
Answer = int | tuple[str, ...] | str
_DIGITS: Final = 2


class Mistake(StrEnum):
    """Why an answer cannot be taken."""

    MISSING = "missing"  #: it is required
    NO_RATING = "no_rating"  #: it is no number from 0 to 10
    NO_CHOICE = "no_choice"  #: it is none of the choices
    TOO_MANY = "too_many"  #: there are several, and one is wanted
    TOO_LONG = "too_long"  #: it has too many characters


@dataclass(frozen=True, slots=True)
class Read:
    """What was understood, and what not; both by question, in the order of the file."""

    answers: Mapping[str, Answer]
    mistakes: Mapping[str, Mistake]


def read(survey: SurveyFile, given: Mapping[str, Sequence[str]]) -> Read:
    """The answers in `given`, which holds the values of each field of a form; what is no question is left aside.

    A question that was left empty has no answer; an answer given before stays then.
    """
    answers: dict[str, Answer] = {}
    mistakes: dict[str, Mistake] = {}
    for name, question in survey.questions.items():
        values = [value.strip() for value in given.get(name, ()) if value.strip()]
        found = _answer(question, values)
        if isinstance(found, Mistake):
            mistakes[name] = found
        elif found is not None:
            answers[name] = found
    return Read(answers, mistakes)


def _answer(question: Question, values: Sequence[str]) -> Answer | Mistake | None:
    if not values:
        return Mistake.MISSING if question.required else None
    if len(values) > 1 and question.kind != "choices":
        return Mistake.TOO_MANY
    match question.kind:
        case "rating":
            return _rating(values[0])
        case "choice" | "choices":
            chosen = tuple(choice for choice in question.choices if choice in values)
            return chosen if set(values) <= set(question.choices) else Mistake.NO_CHOICE
        case "text":
            words = plain(values[0])
            if len(words) > question.max_length:
                return Mistake.TOO_LONG
            return words or (Mistake.MISSING if question.required else None)


def _rating(text: str) -> int | Mistake:
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if is_number and int(text) <= HIGHEST else Mistake.NO_RATING
