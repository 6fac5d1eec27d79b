"""Inquiries by a form: anybody asks a desk something, and may ask to be called.

GET shows; POST takes it: somebody has it as a task from then on, and a mail says that it arrived.
"""

from starlette.requests import Request
from starlette.responses import Response

from campaigns.inquiries.receiving import NewInquiry, Source, receive
from core.form_settings import in_language
from core.inquiry_settings import Desk
from core.mailboxes import limit_key, lock_mailbox
from core.people_lock import people_stay
from web import captchas, inquiry_form
from web.content import digest_of
from web.inquiry_form import Written
from web.languages import Words
from web.pages import NOTHING, fragment
from web.reading import Sent, is_programs, last, read_all
from web.signing_up import is_allowed, too_many
from web.site import Site, site_of
from web.widgets import Problems


async def inquiry_page(request: Request) -> Response:
    """The form, empty. Changes nothing."""
    site = site_of(request)
    desk = _desk(site, request)
    return site.not_found(request) if desk is None else _page(site, request, desk, site.words(request), {}, {})


async def inquiry_sent(request: Request) -> Response:
    """The inquiry is somebody's until it is answered. 422 when something is missing, 429 when too many forms come from
    there."""
    site = site_of(request)
    desk = _desk(site, request)
    if desk is None:
        return site.not_found(request)
    words, sent = site.words(request), await read_all(request)
    zone = site.workspace.settings.organisation.zone
    written = inquiry_form.read(desk, zone, words, sent, site.clock.now())
    if not isinstance(written, Written):
        return _page(site, request, desk, words, sent, written)
    async with site.evenly():
        problem = await _taken(site, request, desk, written, sent, words)
    if problem == "captcha":
        return _page(site, request, desk, words, sent, {"captcha": words.say("form_captcha_problem")})
    return too_many(site, request) if problem else _thanks(site, request, desk, words, written)


async def _taken(
    site: Site, request: Request, desk: Desk, written: Written, sent: Sent, words: Words
) -> str | None:  # fmt: skip
    """What kept the form from being taken; None: nothing, or that it was a program's (which is not told)."""
    name, visitor = str(request.path_params["desk"]), site.visitor(request)
    if not await site.off_loop(is_allowed, site, f"/i/{name}", visitor):
        return "limits"
    if is_programs(sent):
        return None
    if desk.captcha is not None:
        answer = last(sent, desk.captcha.answer.lower())
        if not await captchas.is_person(site.threads, desk.captcha, answer, visitor):
            return "captcha"
    await site.off_loop(_received, site, name, desk, written, words)
    return None


def _received(site: Site, name: str, desk: Desk, written: Written, words: Words) -> None:
    """The inquiry is on record."""
    now = site.clock.now()
    standing = site.orders.ready(desk.acknowledge)
    key = limit_key(site.workspace.secret, written.address)
    with site.transaction() as connection:
        people_stay(connection)
        lock_mailbox(connection, key)
        wanted = NewInquiry(
            key=f"form:{name}:{written.token}:{_digest(site, written)}", desk=name, source=Source.FORM,
            subject=written.subject, content=written.content, email=written.address.email, fields=written.fields,
            language=words.code, call_at=written.call_at,
        )  # fmt: skip
        receive(connection, site.circumstances, wanted, now, acknowledge_by=standing)


def _digest(site: Site, written: Written) -> str:
    told = (written.address.comparable, written.subject, written.content, written.fields, written.call_at)
    return digest_of(site.workspace.secret, *told)


def _desk(site: Site, request: Request) -> Desk | None:
    return site.workspace.settings.inquiries.get(str(request.path_params["desk"]))


def _page(
    site: Site, request: Request, desk: Desk, words: Words, sent: Sent, problems: Problems
) -> Response:  # fmt: skip
    heading, zone = inquiry_form.heading_of(desk, words), site.workspace.settings.organisation.zone
    origins: tuple[str, ...] = ()
    head = NOTHING
    if desk.captcha is not None:
        origins, head = captchas.origins(desk.captcha), fragment("script.html", {"script": desk.captcha.script})
    return site.page(
        request, words, f"{words.say('form_problem')} {heading}" if problems else heading,
        inquiry_form.shown(desk, zone, words, sent, problems, site.clock.now()),
        status=422 if problems else 200, origins=origins, head=head,
    )  # fmt: skip


def _thanks(site: Site, request: Request, desk: Desk, words: Words, written: Written) -> Response:
    told = [in_language(desk.thanks, words.code) or words.say("inquiry_sent_words")]
    if written.call_at is not None:
        told.append(words.say("inquiry_sent_call"))
    return site.message(request, words, words.say("inquiry_sent_heading"), *told)
