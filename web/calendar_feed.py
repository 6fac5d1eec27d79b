"""The calendar of what goes out, for calendar programs of the staff: behind a signed link that opens nothing else."""

from functools import lru_cache
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from campaigns.calendar import feed
from campaigns.calendar.gathering import gather
from core.errors import ConfigError
from core.fresh_settings import FreshWorkspace
from core.workspace import Workspace
from tracking.timed_tokens import TimedPurpose
from web import pages
from web.site import Site, site_of

_HEADERS: Final = {**pages.COMMON_HEADERS, "content-disposition": 'inline; filename="clarion.ics"'}


async def calendar_feed(request: Request) -> Response:
    """What goes out in the weeks to come, as iCalendar; 410 once the link has ended, 404 to every other address."""
    site, token = site_of(request), str(request.path_params["token"])
    return await site.off_loop(_answer, site, token) or site.not_found(request)


def _answer(site: Site, token: str) -> Response | None:
    """What whoever has the token gets; None: it opens nothing."""
    fresh = _fresh(site.workspace)
    fresh.renew()  # `calendar.links` as it is now: who raises it ends links at once
    workspace, now = fresh.current, site.clock.now()
    about = feed.about(workspace)
    if site.timed.verify(TimedPurpose.CALENDAR, token, now, about=about) is not None:
        text = _written(site, workspace)
        return Response(text, media_type="text/calendar; charset=utf-8", headers=_HEADERS)
    if site.timed.has_ended(TimedPurpose.CALENDAR, token, now, about=about):
        return pages.plain("this link has ended; `clarion calendar --link` makes a new one", 410)
    return None


@lru_cache(maxsize=4)
def _fresh(workspace: Workspace) -> FreshWorkspace:
    """One for each workspace: any token may be asked for, and the file is read only when it was changed."""
    now = Workspace(workspace.root)
    try:
        _ = now.settings
    except ConfigError:
        return FreshWorkspace(workspace)  # as it was when the process began
    return FreshWorkspace(now)


def _written(site: Site, workspace: Workspace) -> str:
    with site.transaction() as connection:
        calendar = gather(connection, workspace, site.clock.now(), feed.DAYS)
    return feed.written(calendar, workspace.settings.organisation.name)
