"""Links of templates to surveys and events: made for each message, and checked when the files are read."""

import pytest

from campaigns.page_links import page_link_mistakes
from campaigns.surveys.definition import SurveyFile
from campaigns.surveys.files import Survey
from core.errors import RenderError
from templates.definition import TemplateSource
from tests.unit.templates_support import PlainUrls, compiled, context_of

LIKELY = {"ask": "How likely?", "kind": "rating"}
NPS = Survey("nps", SurveyFile.model_validate({"title": "One question", "questions": {"likely": LIKELY}}))


def _rendered(body: str, urls: PlainUrls) -> str:
    """The text of a mailing with this body."""
    source = f"---\nsubject: A\n---\n<html><body>{body}</body></html>"
    return compiled({"a.html": source}).render(context_of(), urls).text


def test_link_to_a_survey_brings_an_answer() -> None:
    """
    In HTML and text it leads where the message's own page is, escaped as its place needs.
    """
    body = "<p><a href=\"{{ survey_url('nps', likely=9, why='a b&c') }}\">Nine</a></p>"
    urls = PlainUrls()
    rendered = _rendered(body, urls)

    assert "Nine" in rendered
    assert (None, "https://news.example/s/nps/tok?likely=9&why=a+b%26c") in urls.asked


def test_links_are_printed_as_they_are() -> None:
    """
    A number in a loop is an answer like any other.
    """
    body = "<p>{% for n in range(2) %}{{ survey_url('nps', likely=n) }} {% endfor %}{{ registration_url('fair') }}</p>"
    rendered = _rendered(body, PlainUrls())

    assert (
        "https://news.example/s/nps/tok?likely=0 https://news.example/s/nps/tok?likely=1 "
        "https://news.example/events/fair" in rendered.replace("\n", " ")
    )


@pytest.mark.parametrize("field", ["subject", "preheader"])
def test_links_may_stand_in_every_part(field: str) -> None:
    """
    A mailing that names a page in its subject or its preheader alone can be made.
    """
    lines = {"subject": "A", field: "See {{ registration_url('fair') }}"}
    front = "".join(f'{name}: "{line}"\n' for name, line in lines.items())
    mailing = compiled({"a.html": f"---\n{front}---\n<html><body><p>a</p></body></html>"})

    rendered = mailing.render(context_of(), PlainUrls())

    assert getattr(rendered, field) == "See https://news.example/events/fair"


def test_link_needs_a_name() -> None:
    """
    A mailing whose link names nothing fails by itself.
    """
    with pytest.raises(RenderError, match="names it in quotes"):
        _rendered("<p>{{ survey_url(customer.order_count) }}</p>", PlainUrls())


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("survey_url('nps', likely=9)", None), ("registration_url('fair')", None), ('survey_url("nps")', None),
        ("survey_url('npz')", "no survey 'npz'"), ("survey_url(name)", "survey_url names no survey"),
        ("survey_url('nps', likly=9)", "the survey 'nps' has no question 'likly'"),
        ("registration_url('nps')", "no event 'nps'"), ("registration_url('fair', a=1)", "takes a name alone"),
    ],
)  # fmt: skip
def test_links_are_checked_against_what_there_is(call: str, problem: str | None) -> None:
    """
    A survey, question or event that is not there is a mistake of the file, at its line.
    """
    sources = {"a.html": TemplateSource("a.html", f"---\nsubject: A\n---\n<p>{{{{ {call} }}}}</p>")}
    found = list(page_link_mistakes(sources, {"nps": NPS}, {"fair"}))

    assert [4] * bool(problem) == [each.line for each in found]
    assert all((problem or "") in each.message for each in found)
