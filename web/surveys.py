"""Surveys: a link in a mail leads to the questions, for whoever the mail went to.

The link names the survey and the message, and may bring an answer (`?likely=9`), which is shown chosen. GET shows; POST
records. Who answers again corrects the answer. The survey's file says how long after the mail that can be done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from campaigns.surveys.answering import ONCE, Recorded, record
from campaigns.surveys.definition import HIGHEST
from campaigns.surveys.definition import Question as Asking
from campaigns.surveys.files import Survey
from campaigns.surveys.reading import Answer, Mistake, read
from core.form_settings import in_language, label_in
from core.schema import customer, message, survey_answer
from tracking.timed_tokens import TimedPurpose, TimedToken
from web import widgets
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import Sent, is_programs, last, read_all
from web.site import Site, site_of
from web.timed_links import has_ended, opened
from web.widgets import Asked, Choice, Problems, Scale


async def survey_page(request: Request) -> Response:
    """The questions, with the answer chosen that the link brings. Changes nothing."""
    site, found = site_of(request), await _opened(request)
    if isinstance(found, Response):
        return found
    survey, token = found
    about = await site.off_loop(_about, site, survey, token)
    if about is None:
        return has_ended(site, request)
    words = site.words(request, about.language)
    given = {name: request.query_params.getlist(name) for name in survey.definition.questions}
    status = NOTHING
    if about.has_answered:
        status = fragment("hint.html", {"words": words.say("survey_before")})
    return _page(site, request, words, survey, given, {}, status)


async def survey_sent(request: Request) -> Response:
    """The answers are on record; 422 when one is missing or makes no sense."""
    site, found = site_of(request), await _opened(request)
    if isinstance(found, Response):
        return found
    survey, token = found
    about = await site.off_loop(_about, site, survey, token)
    if about is None:
        return has_ended(site, request)
    words, sent = site.words(request, about.language), await read_all(request)
    understood = read(survey.definition, sent)
    if understood.mistakes:
        problems = {name: _problem(survey, name, mistake, words) for name, mistake in understood.mistakes.items()}
        return _page(site, request, words, survey, sent, problems, NOTHING)
    has_corrected = about.has_answered  # what a program is told
    if not is_programs(sent):
        recorded = await site.off_loop(_recorded, site, survey, token, understood.answers)
        if recorded is None:
            return has_ended(site, request)
        has_corrected = bool(recorded.corrected)
    return _thanks(site, request, words, survey, has_corrected=has_corrected)


async def _opened(request: Request) -> tuple[Survey, TimedToken] | Response:
    """The survey and what the link says; else the answer that refuses it."""
    site, name = site_of(request), str(request.path_params["survey"])
    token = opened(request, TimedPurpose.SURVEY, about=name)
    if isinstance(token, Response):
        return token
    surveys = await site.off_loop(site.surveys.now)
    return (surveys[name], token) if name in surveys else has_ended(site, request)


@dataclass(frozen=True, slots=True)
class _About:
    """Whom a link is about, and whether they answered before."""

    customer_id: int
    language: str | None
    has_answered: bool


def _about(site: Site, survey: Survey, token: TimedToken) -> _About | None:
    with site.database.begin() as connection:
        row = _recipient(connection, token)
        if row is None or row.not_before + survey.definition.expires <= site.clock.now():
            return None
        before = select(survey_answer.c.id).where(
            survey_answer.c.survey == survey.name, survey_answer.c.customer_id == row.id,
            survey_answer.c.occasion == (ONCE if survey.definition.once else _occasion(token)),
        )  # fmt: skip
        has_answered = connection.execute(before.limit(1)).first() is not None
        return _About(row.id, row.language, has_answered)


def _recipient(connection: Connection, token: TimedToken) -> Any:
    """Whom the message went to; None: they are gone, or were erased."""
    columns = (customer.c.id, customer.c.language, message.c.not_before)
    whose = select(*columns).join(message, message.c.customer_id == customer.c.id)
    return connection.execute(whose.where(message.c.id == token.subject_id)).one_or_none()


def _occasion(token: TimedToken) -> str:
    return f"message:{token.subject_id}"


def _recorded(site: Site, survey: Survey, token: TimedToken, answers: Mapping[str, Answer]) -> Recorded | None:
    with site.transaction() as connection:
        row = _recipient(connection, token)
        if row is None:
            return None
        return record(connection, survey, row.id, answers, _occasion(token), token.subject_id, site.clock.now())


def _problem(survey: Survey, name: str, mistake: Mistake, words: Words) -> str:
    question = survey.definition.questions[name]
    if mistake is Mistake.TOO_LONG:
        return words.say("survey_long_problem", most=str(question.max_length))
    which = "missing" if mistake is Mistake.MISSING else "choice"
    return words.say(f"survey_{which}_problem", question=label_in(question.ask, words.code, name))


def _page(
    site: Site, request: Request, words: Words, survey: Survey, given: Sent, problems: Problems, status: Html
) -> Response:  # fmt: skip
    heading = label_in(survey.definition.title, words.code, survey.name)
    intro = in_language(survey.definition.intro, words.code)
    told = [fragment("paragraph.html", {"words": intro})] if intro else []
    asked = [
        _question(name, question, words, given, problems) for name, question in survey.definition.questions.items()
    ]
    values = {
        "heading": heading, "alert": widgets.alert(words, problems), "intro": joined([*told, status]),
        "fields": joined(asked), "captcha": NOTHING, "leave_empty": words.say("form_leave_empty"),
        "button": words.say("survey_button"),
    }  # fmt: skip
    title = f"{words.say('form_problem')} {heading}" if problems else heading
    return site.page(request, words, title, fragment("fields_form.html", values), status=422 if problems else 200)


def _question(name: str, question: Asking, words: Words, given: Sent, problems: Problems) -> Html:
    label = label_in(question.ask, words.code, name)
    value = last(given, name) if given.get(name) else ""
    mark = "" if question.required else words.say("form_optional")
    asked = Asked(name, label, value[: question.max_length], mark, question.max_length)
    if question.kind == "rating":
        chosen = int(value) if value.isascii() and value.isdigit() and len(value) < 3 else None
        low, high = (in_language(one, words.code) or "" for one in (question.lowest, question.highest))
        return widgets.scale(asked, Scale(HIGHEST, chosen, low, high), problems)
    if question.kind == "text":
        return widgets.lines(asked, problems)
    values = given.get(name, [])
    choices = [Choice(key, label_in(shown, words.code, key), key in values) for key, shown in question.choices.items()]
    return widgets.group(asked, choices, problems, several=question.kind == "choices")


def _thanks(site: Site, request: Request, words: Words, survey: Survey, *, has_corrected: bool) -> Response:
    own = in_language(survey.definition.thanks, words.code)
    told = [own or words.say("survey_thanks")]
    if has_corrected:
        told.append(words.say("survey_corrected"))
    change = fragment("link.html", {"target": request.url.path, "words": words.say("survey_change")})
    return site.message(request, words, words.say("survey_thanks_heading"), *told, change)
