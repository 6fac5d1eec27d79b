"""What people answer to the fields of an event: as it is kept, and what is wrong with it.

Pages, programs, lists and staff go by the same rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from campaigns.events.definition import EventFile, Question
from core.names import did_you_mean
from core.plain_text import one_line
from customers.joining import FIELDS


class Fault(StrEnum):
    """What may be wrong with an answer."""

    UNKNOWN = "unknown"  #: nobody asked for anything of its name
    MISSING = "missing"  #: it is required
    CHOICE = "choice"  #: it is none of the choices
    LONG = "long"  #: it has too many characters


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with the answer to one field. `message` repeats nothing of the answer; `got` does."""

    name: str
    fault: Fault
    message: str
    got: str = ""

    def __str__(self) -> str:
        """As staff is told."""
        return f"{self.name}: got {self.got}, {self.message}" if self.got else f"{self.name}: {self.message}"


def read(
    definition: EventFile, told: Mapping[str, str], *, is_asked: bool
) -> tuple[dict[str, str], tuple[Mistake, ...]]:
    """The answers as they are kept, each one line and none of them empty, and everything that is wrong.

    `is_asked`: by the form, or as a program has to fill it in. Nothing is required of others, who are staff, lists and
    whoever registers others; and they may tell names and company though the form does not ask for them.
    """
    fields = definition.registration.fields
    known = fields if is_asked else {**dict.fromkeys(FIELDS, Question()), **fields}
    answers = {name: one_line(value) for name, value in told.items()}
    wrong = [mistake for name, answer in answers.items() if (mistake := _mistake(known, name, answer)) is not None]
    needed = [name for name, question in fields.items() if is_asked and question.required and not answers.get(name)]
    wrong += [Mistake(name, Fault.MISSING, "it is required") for name in needed]
    return {name: answer for name, answer in answers.items() if answer}, tuple(wrong)


def _mistake(fields: Mapping[str, Question], name: str, answer: str) -> Mistake | None:
    question = fields.get(name)
    if question is None:
        return Mistake(name, Fault.UNKNOWN, f"the event has no such field; {did_you_mean(name, fields)}")
    if answer and question.choices and answer not in question.choices:
        return Mistake(name, Fault.CHOICE, f"expected {', '.join(question.choices)}", repr(answer))
    if len(answer) > question.longest:
        most = f"expected at most {question.longest:,} characters"
        return Mistake(name, Fault.LONG, most, f"{len(answer):,} characters")
    return None
