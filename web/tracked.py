"""The addresses a mailing's links lead to: pixel, clicks, view in browser. They change nothing but
counters."""

from starlette.requests import Request
from starlette.responses import Response

from core.errors import RenderError
from tracking.links import TrackedUrls, redirect_target
from tracking.tokens import Purpose
from web import pages
from web.site import Site, site_of

#: Stands where a mailing's pixel was: looking at it in the browser is a view, not an open.
_NO_PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


async def opened(request: Request) -> Response:
    """The pixel: the same bytes whether the token is genuine or not (S-6.8)."""
    site = site_of(request)
    token = site.token(request, Purpose.OPEN)
    if token is not None:
        await site.hits.record(site.hit(request, token, Purpose.OPEN))
    return pages.pixel()


async def clicked(request: Request) -> Response:
    """To the target inside the token, or at its position among the campaign's links; 404 for anything
    else."""
    site = site_of(request)
    token = site.token(request, Purpose.CLICK)
    if token is None:
        return site.not_found(request)
    recorded = await site.hits.record(site.hit(request, token, Purpose.CLICK))
    if recorded is None:
        return site.not_found(request)
    target = redirect_target(token.url or recorded.target or "")
    return pages.redirect(target) if target else site.not_found(request)


async def viewed(request: Request) -> Response:
    """The mailing as its recipient got it, in a sandbox and without its pixel."""
    site = site_of(request)
    token = site.token(request, Purpose.VIEW)
    shown = await site.off_loop(_mailing, site, token.message_id) if token else None
    if token is None or shown is None:
        return site.not_found(request)
    await site.hits.record(site.hit(request, token, Purpose.VIEW))
    return shown


def _mailing(site: Site, message_id: int) -> Response | None:
    from campaigns.mailings import rendered_message

    try:
        with site.database.begin() as connection:
            rendered = rendered_message(connection, site.workspace, message_id, site.clock.now())
    except RenderError:
        return None
    if rendered is None:
        return None
    pixel = TrackedUrls(site.workspace.settings.tracking.base_url, site.signer, message_id).pixel
    html = rendered.html.replace(str(pixel), _NO_PIXEL) if rendered.html else None
    return pages.mailing(html, rendered.text)
