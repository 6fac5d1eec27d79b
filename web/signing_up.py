"""Signing up: a form anybody may fill in, and the same answer to all of them (S-9.9).

GET shows the form; POST takes it. Nobody is written to by it but for one mail with a link (`web.confirming`).
"""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from core.form_settings import Form
from web import captchas, sign_up_form, sign_ups
from web.languages import Words
from web.limits import is_within, limits_of
from web.pages import NOTHING, fragment
from web.reading import is_programs, last, read_all
from web.sign_up_form import Entered
from web.site import Site, site_of
from web.widgets import Problems

_NOTHING_YET: Final[Mapping[str, list[str]]] = {}


async def form_page(request: Request) -> Response:
    """The form, empty, with no box ticked (S-5.3). Changes nothing."""
    site = site_of(request)
    form = _form(site, request)
    if form is None:
        return site.not_found(request)
    return _page(site, request, form, site.words(request), _NOTHING_YET, {})


async def form_sent(request: Request) -> Response:
    """What was asked for is on record, and a mail with the link that confirms it is ordered, unless a limit keeps it
    back; the answer does not tell. 422 when something is missing, 429 when too many forms come from there."""
    site = site_of(request)
    form = _form(site, request)
    if form is None:
        return site.not_found(request)
    words, fields = site.words(request), await read_all(request)
    entered = sign_up_form.read(form, site.workspace.settings, words, fields)
    if not isinstance(entered, Entered):
        return _page(site, request, form, words, fields, entered)
    async with site.evenly():
        problem = await _taken(site, request, form, entered, fields)
    if problem == "captcha":
        return _page(site, request, form, words, fields, {"captcha": words.say("form_captcha_problem")})
    return too_many(site, request) if problem else _sent(site, request, words)


async def _taken(
    site: Site, request: Request, form: Form, entered: Entered, fields: Mapping[str, list[str]]
) -> str | None:
    """What kept the form from being taken; None: nothing, or that it was a program's (which is not told)."""
    name, visitor = str(request.path_params["form"]), site.visitor(request)
    if not await site.off_loop(is_allowed, site, name, visitor):
        return "limits"
    if is_programs(fields):
        return None
    if form.captcha is not None:
        answer = last(fields, form.captcha.answer.lower())
        if not await captchas.is_person(site.threads, form.captcha, answer, visitor):
            return "captcha"
    await site.off_loop(sign_ups.take, site, name, form, entered, visitor)
    return None


def is_allowed(site: Site, form: str, visitor: str | None, per_hour: int | None = None) -> bool:
    """One more request to the form was counted; False: there were too many, more than `per_hour` where its own file
    says so."""
    limits = limits_of(site.workspace.settings.pages.limits, form, visitor, per_hour)
    with site.transaction() as connection:
        return is_within(connection, limits, site.clock.now())


def too_many(site: Site, request: Request) -> Response:
    """The limits of this hour are reached."""
    answer = site.message_page(request, "too_many", 429)
    answer.headers["retry-after"] = "3600"
    return answer


def _form(site: Site, request: Request) -> Form | None:
    return site.workspace.settings.forms.get(str(request.path_params["form"]))


def _page(
    site: Site, request: Request, form: Form, words: Words, fields: Mapping[str, list[str]], problems: Problems
) -> Response:  # fmt: skip
    settings = site.workspace.settings
    title = sign_up_form.heading_of(form, settings, words)
    origins: tuple[str, ...] = ()
    head = NOTHING
    if form.captcha is not None:
        origins, head = captchas.origins(form.captcha), fragment("script.html", {"script": form.captcha.script})
    return site.page(
        request, words, f"{words.say('form_problem')} {title}" if problems else title,
        sign_up_form.shown(form, settings, words, fields, problems),
        status=422 if problems else 200, origins=origins, head=head,
    )  # fmt: skip


def _sent(site: Site, request: Request, words: Words) -> Response:
    hint = fragment("hint.html", {"words": words.say("form_sent_hint")})
    return site.message(request, words, words.say("form_sent_heading"), words.say("form_sent_words"), hint)
