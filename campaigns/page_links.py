"""Links of templates to pages of ours, checked against the surveys and events there are."""

from collections.abc import Collection, Iterator, Mapping

from campaigns.surveys.files import Survey
from core.errors import Problem
from core.names import did_you_mean
from templates.definition import TemplateSource
from templates.page_links import SURVEY, Named, page_links_in


def page_link_mistakes(
    templates: Mapping[str, TemplateSource], surveys: Mapping[str, Survey], events: Collection[str]
) -> Iterator[Problem]:
    """Surveys, questions and events that are not there, and links that do not say which they mean."""
    for source in templates.values():
        for named in page_links_in(source):
            for text, hint in _mistakes(named, surveys, events):
                yield Problem(source.file, named.line, text, hint)


def _mistakes(named: Named, surveys: Mapping[str, Survey], events: Collection[str]) -> Iterator[tuple[str, str]]:
    noun, known = ("survey", list(surveys)) if named.function == SURVEY else ("event", list(events))
    if named.name is None:
        yield f"{named.function} names no {noun}, expected its name in quotes", ""
    elif named.name not in known:
        yield f"no {noun} {named.name!r}", did_you_mean(named.name, known)
    elif named.function == SURVEY:
        questions = surveys[named.name].definition.questions
        for question in named.answers:
            if question not in questions:
                yield f"the survey {named.name!r} has no question {question!r}", did_you_mean(question, questions)
    elif named.answers:
        yield f"{named.function} takes a name alone (got {named.answers[0]}=…)", ""
