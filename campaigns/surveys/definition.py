"""`surveys/<name>.yaml`: a few questions, each of one kind."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from core.field_types import Name
from core.form_settings import Label, Words
from core.units import Duration, parse_duration
from core.yaml_files import Section

FOLDER: Final = "surveys"
#: Ratings go from 0 to this: those who give 9 or 10 recommend us, up to 6 they do not (Net Promoter Score).
HIGHEST: Final = 10
PROMOTER_FROM: Final = 9
DETRACTOR_TO: Final = 6
Kind = Literal["rating", "choice", "choices", "text"]


class Question(Section):
    """One question. `rating`: a number from 0 to 10; `choice`: one of `choices`; `choices`: any of them."""

    ask: Label
    kind: Kind
    choices: dict[Name, Label] = Field({})  # what is kept → what is shown
    lowest: Words = Field({})  # what 0 means
    highest: Words = Field({})  # what 10 means
    max_length: Annotated[int, Field(ge=1, le=10_000)] = 2000  # of a text
    required: bool = False

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> "Question":
        has_choices = self.kind in ("choice", "choices")
        if has_choices != bool(self.choices):
            wanted = "needs 'choices'" if has_choices else "has no 'choices'"
            raise ValueError(f"kind {self.kind!r} {wanted}")
        if self.kind != "rating" and (self.lowest or self.highest):
            raise ValueError(f"kind {self.kind!r} has no 'lowest' and 'highest', expected them with kind 'rating'")
        return self


class SurveyFile(Section):
    """What people are asked by a link in a mail, and for how long."""

    title: Label
    intro: Words = Field({})
    thanks: Words = Field({})  # shown once it was answered; empty: the pages' own words
    description: str = ""
    questions: Annotated[dict[Name, Question], Field(min_length=1, max_length=20)]
    once: bool = True  # of a customer one answer counts, the last; False: one for each mail that asked
    expires: Duration = parse_duration("60d")  # after the link was made
