"""Links that end: what they open, and what is said when they no longer do."""

from starlette.requests import Request
from starlette.responses import Response

from tracking.timed_tokens import TimedPurpose, TimedToken
from web.pages import Html, fragment
from web.site import Site, site_of


def opened(request: Request, *purposes: TimedPurpose, about: str = "") -> TimedToken | Response:
    """What the token in the request's path says, if it is good for one of `purposes`, and `about` what the path names
    beside it; else the answer that refuses it: 410 to a genuine one that has ended, 404 to everything else."""
    site, token = site_of(request), str(request.path_params["token"])
    now = site.clock.now()
    for purpose in purposes:
        found = site.timed.verify(purpose, token, now, about=about)
        if found is not None:
            return found
        if site.timed.has_ended(purpose, token, now, about=about):
            return has_ended(site, request)
    return site.not_found(request)


def has_ended(site: Site, request: Request) -> Response:
    """The link was good once; where a new one can be asked for, the page leads there."""
    words = site.words(request)
    spoken: list[str | Html] = [words.say("ended_words")]
    if site.takes_requests:
        spoken.append(
            fragment(
                "link.html",
                {"target": f"{site.workspace.settings.tracking.base_url}/my", "words": words.say("ask_again")},
            )
        )
    return site.message(request, words, words.say("ended_heading"), *spoken, status=410)


def was_used(site: Site, request: Request) -> Response:
    """The link works once, and did."""
    return site.message_page(request, "used", 410)
