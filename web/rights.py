"""What people may ask of their data: a copy, and its erasure, by a link that is mailed to them.

GET shows, POST acts, once.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from core.addresses import Address
from tracking.timed_tokens import TimedPurpose, TimedToken
from web import pages, rights_requests, widgets
from web.languages import Words
from web.pages import fragment, joined
from web.reading import LONGEST, address_in, is_programs, last, read_all
from web.rights_requests import Asked, Kind, Outcome, campaign_of, life_of
from web.signing_up import is_allowed, too_many
from web.site import Site, site_of
from web.speaking import shown_address
from web.timed_links import opened, was_used
from web.widgets import Choice, Problems

#: Its name among the limits, which no form of a workspace can have.
_FORM = "/my"


async def ask_page(request: Request) -> Response:
    """The page that asks for an address and what its owner wants. Changes nothing."""
    site = site_of(request)
    if not site.takes_requests:
        return site.not_found(request)
    return _ask_page(site, request, site.words(request), {}, {})


async def asked(request: Request) -> Response:
    """A link is on its way to the address, if we know it; the answer does not tell, nor how long it takes."""
    site = site_of(request)
    if not site.takes_requests:
        return site.not_found(request)
    words, fields = site.words(request), await read_all(request)
    kind, address, problems = _read(site, words, fields)
    if kind is None or address is None:
        return _ask_page(site, request, words, fields, problems)
    async with site.evenly():
        allowed = await site.off_loop(is_allowed, site, _FORM, site.visitor(request))
        if allowed and not is_programs(fields):
            await site.off_loop(rights_requests.ask, site, kind, address.email, words)
    return on_its_way(site, request, words, kind) if allowed else too_many(site, request)


def on_its_way(site: Site, request: Request, words: Words, kind: Kind) -> Response:
    """The one answer to whoever asks."""
    spoken = words.say("my_sent_words", length=words.length(life_of(site, kind)))
    hint = fragment("hint.html", {"words": words.say("my_sent_hint")})
    return site.message(request, words, words.say("my_sent_heading"), spoken, hint)


def _read(
    site: Site, words: Words, fields: Mapping[str, list[str]]
) -> tuple[Kind | None, Address | None, Problems]:  # fmt: skip
    problems: dict[str, str] = {}
    what = last(fields, "what")
    address, kind = address_in(fields), next((kind for kind in _offered(site) if kind == what), None)
    if address is None:
        problems["email"] = words.say("form_email_problem")
    if kind is None:
        problems["what"] = words.say("my_what_problem")
    return kind, address, problems


def _offered(site: Site) -> list[Kind]:
    return [kind for kind in Kind if campaign_of(site, kind) is not None]


def _ask_page(
    site: Site, request: Request, words: Words, fields: Mapping[str, list[str]], problems: Problems
) -> Response:  # fmt: skip
    heading, chosen = words.say("my_heading"), last(fields, "what")
    offered = [Choice(kind, words.say(f"my_{kind}"), kind == chosen) for kind in _offered(site)]
    email = widgets.text_field(
        "email", words.say("form_email"), last(fields, "email")[:LONGEST], kind="email", autocomplete="email",
        problems=problems,
    )  # fmt: skip
    values = {
        "heading": heading, "alert": widgets.alert(words, problems), "captcha": pages.NOTHING,
        "intro": words.say("my_words", organisation=site.workspace.settings.organisation.name),
        "fields": joined([email, widgets.options("what", words.say("my_what"), offered, problems)]),
        "leave_empty": words.say("form_leave_empty"), "button": words.say("my_button"),
    }  # fmt: skip
    title = f"{words.say('form_problem')} {heading}" if problems else heading
    return site.page(request, words, title, fragment("form.html", values), status=422 if problems else 200)


async def export_page(request: Request) -> Response:
    """The page with the button that downloads. Changes nothing."""
    return await _question(request, TimedPurpose.EXPORT)


async def erase_page(request: Request) -> Response:
    """The page with the button that erases. Changes nothing."""
    return await _question(request, TimedPurpose.ERASE)


async def exported(request: Request) -> Response:
    """Everything stored about the owner of the link's mailbox, as a file."""
    site, token = site_of(request), opened(request, TimedPurpose.EXPORT)
    if isinstance(token, Response):
        return token
    content = await site.off_loop(rights_requests.export, site, token)
    if isinstance(content, Outcome):
        return _for_staff(site, request) if content is Outcome.FOR_STAFF else was_used(site, request)
    headers = {**pages.COMMON_HEADERS, "content-disposition": 'attachment; filename="my-data.json"'}
    return Response(content, media_type="application/json", headers=headers)


async def erased(request: Request) -> Response:
    """Nothing is stored about the owner of the link's mailbox any more."""
    site, token = site_of(request), opened(request, TimedPurpose.ERASE)
    if isinstance(token, Response):
        return token
    found = await site.off_loop(_asked, site, token)
    outcome = Outcome.USED if found is None else await site.off_loop(rights_requests.erase_all, site, token)
    if found is None or outcome is Outcome.USED:
        return was_used(site, request)
    if outcome is Outcome.FOR_STAFF:
        return _for_staff(site, request)
    words, organisation = site.words(request, found.language), site.workspace.settings.organisation.name
    spoken = words.say("erased_words", organisation=organisation)
    return site.message(request, words, words.say("erased_heading"), spoken)


def _for_staff(site: Site, request: Request) -> Response:
    words, organisation = site.words(request), site.workspace.settings.organisation.name
    spoken = words.say("rights_staff_words", organisation=organisation)
    return site.message(request, words, words.say("rights_staff_heading"), spoken)


async def _question(request: Request, purpose: TimedPurpose) -> Response:
    site, token = site_of(request), opened(request, purpose)
    if isinstance(token, Response):
        return token
    found = await site.off_loop(_asked, site, token)
    if found is None:
        return was_used(site, request)
    words, name = site.words(request, found.language), purpose.value
    organisation = site.workspace.settings.organisation.name
    first = words.say(f"{name}_words", organisation=organisation, address=shown_address(found.email))
    second = words.say("export_once" if purpose is TimedPurpose.EXPORT else "erase_kept")
    spoken = [first, *_sharing(words, found.names), second]
    values = {
        "heading": words.say(f"{name}_heading"), "button": words.say(f"{name}_button"), "after": pages.NOTHING,
        "words": joined([fragment("paragraph.html", {"words": one}) for one in spoken]),
        "look": pages.NOTHING if purpose is TimedPurpose.EXPORT else pages.Html(' class="final"'),
    }  # fmt: skip
    return site.page(request, words, values["heading"], fragment("question.html", values))


def _sharing(words: Words, names: tuple[str, ...]) -> list[str]:
    """Who else it is about, where several share the mailbox."""
    if not names:
        return []
    shown = words.listed([name or words.say("rights_unnamed") for name in names])
    return [words.say("rights_several", count=str(len(names)), names=shown)]


def _asked(site: Site, token: TimedToken) -> Asked | None:
    with site.database.begin() as connection:
        return rights_requests.asked_with(connection, token)
