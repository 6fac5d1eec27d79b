"""The calendar of what goes out, for calendar programs of the staff: behind a signed link that opens nothing else."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from campaigns.calendar import feed
from campaigns.calendar.gathering import gather
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
    now, about = site.clock.now(), feed.about(site.workspace)
    if site.timed.verify(TimedPurpose.CALENDAR, token, now, about=about) is not None:
        return Response(_written(site), media_type="text/calendar; charset=utf-8", headers=_HEADERS)
    if site.timed.has_ended(TimedPurpose.CALENDAR, token, now, about=about):
        return pages.plain("this link has ended; `clarion calendar --link` makes a new one", 410)
    return None


def _written(site: Site) -> str:
    with site.transaction() as connection:
        calendar = gather(connection, site.workspace, site.clock.now(), feed.DAYS)
    return feed.written(calendar, site.workspace.settings.organisation.name)
