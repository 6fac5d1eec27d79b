"""The feed on the web: only the holder of a link reads it, until it ends or all are ended."""

from datetime import timedelta

import icalendar
import pytest

from campaigns.calendar import feed
from tests.campaign_files import campaign_file
from tests.public_pages import public_pages
from tracking.timed_tokens import TimedPurpose


@pytest.fixture
def pages(make_workspace, database, clock):
    files = {"campaigns/soon.yaml": campaign_file(schedule="{at: 2026-03-04T09:00}")}
    with public_pages(make_workspace, database, clock, files=files) as running:
        yield running


def path_of(pages, **lasts):
    """The address of the feed, good for so long."""
    link = feed.link(pages.workspace, pages.clock.now() + timedelta(**lasts))
    return link.removeprefix(pages.workspace.settings.tracking.base_url)


def test_feed_is_read_by_whoever_has_the_link_until_it_ends(pages):
    """
    200 with entries while it lasts, neither cached nor indexed; 410 afterwards.
    """
    path = path_of(pages, days=2)
    answer = pages.get(path)
    read = icalendar.Calendar.from_ical(answer.body)

    assert (200, "text/calendar; charset=utf-8") == (answer.status, answer.headers["content-type"])
    assert ["no-store", "noindex, nofollow"] == [answer.headers[name] for name in ("cache-control", "x-robots-tag")]
    assert ["soon is written for this time: ?"] == [str(entry["summary"]) for entry in read.walk("VEVENT")]
    pages.clock.step(timedelta(days=2))
    assert 410 == pages.get(path).status


def test_feed_opens_to_no_other_token(pages):
    """
    A changed token, one of another purpose, one that is bound to nothing: 404, as every address that leads nowhere.
    """
    good = path_of(pages, days=2).removeprefix("/calendar/").removesuffix(".ics")
    changed = good[:-4] + ("A" if good[-4] != "A" else "B") + good[-3:]
    foreign = [pages.token(purpose, 0) for purpose in TimedPurpose]

    assert {404} == {pages.get(f"/calendar/{token}.ics").status for token in (changed, *foreign, "x", "%00")}
    assert 404 == pages.get(f"/calendar/{good}").status


def test_raising_the_number_of_links_ends_those_given_out_before(pages, monkeypatch):
    """
    `calendar.links` counts without a new start of the web process; links made afterwards work.
    """
    monkeypatch.setattr("web.renewing._EVERY_S", 0.0)
    path = path_of(pages, days=2)
    assert 200 == pages.get(path).status
    settings = pages.workspace.root / "clarion.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "calendar: {links: 2}\n", encoding="utf-8")

    assert 404 == pages.get(path).status
    renewed = feed.link(type(pages.workspace)(pages.workspace.root), pages.clock.now() + timedelta(days=1))
    assert 200 == pages.get(renewed.removeprefix(pages.workspace.settings.tracking.base_url)).status


def test_settings_with_mistakes_leave_links_as_they_were(pages, monkeypatch):
    """
    A mistake in clarion.yaml neither ends links nor opens any.
    """
    monkeypatch.setattr("web.renewing._EVERY_S", 0.0)
    path = path_of(pages, days=2)
    assert 200 == pages.get(path).status
    settings = pages.workspace.root / "clarion.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + "calendar: {links: many}\n", encoding="utf-8")

    assert 200 == pages.get(path).status
    assert 404 == pages.get("/calendar/x.ics").status


def test_feed_is_only_read(pages):
    """
    HEAD is answered like GET; nothing can be sent there.
    """
    assert 405 == pages.post(path_of(pages, days=2)).status
