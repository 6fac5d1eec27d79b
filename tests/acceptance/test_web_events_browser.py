"""The pages of events, surveys, desks and the door in a real browser, judged by axe-core."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.browsing import DARK, assert_sound, axe, browser, drawn
from tests.event_pages import PERSON, EventPages, event_pages

pytestmark = pytest.mark.browser
__all__ = ["axe", "browser"]  # fixtures

CALL = {"call": "yes", "call_day": "2026-03-04", "call_time": "10:30"}


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages, and an event of two seats."""
    with event_pages(make_workspace, database, clock) as running:
        yield running


def every_page(event: EventPages, language: str) -> dict[str, str]:
    """The HTML of each page in each state that looks different, by name."""
    pages, asked = event.pages, {"Accept-Language": language}

    def register(email: str, **fields: object):
        return pages.post("/events/paper-day", {**PERSON, "email": email, **fields}, **asked)

    customer = pages.customer(email="reader@customers.example", consents=("promotions",), language=language)
    survey = event.asked(customer)
    found = {
        "event": pages.get("/events/paper-day", **asked),
        "event-zone": pages.get("/events/paper-day?zone=UTC", **asked),
        "event-problems": register("nobody", meal=""), "event-people": register("a@b.example", action="more"),
        "registered": register("ann@customers.example"), "mine": pages.get(event.registration(1), **asked),
    }  # fmt: skip
    register("bo@customers.example", first_name="Bo", last_name="Birch", company="Birch & Sons")
    register("cy@customers.example")
    seat, waits = event.registration(1), event.registration(3)
    found |= {
        "event-full": pages.get("/events/paper-day", **asked), "waiting": pages.get(waits, **asked),
        "cancelled": pages.post(seat, {"action": "cancel"}, **asked), "offered": pages.get(waits, **asked),
        "accepted": pages.post(waits, {"action": "accept"}, **asked), "door": pages.get(event.door, **asked),
        "door-done": pages.post(event.door, {"registration": "2", "action": "here"}, **asked),
        "door-gone": pages.post(event.door, {"registration": "1", "action": "here"}, **asked),
        "door-nobody": pages.get(f"{event.door}?q=zzz", **asked),
        "survey": pages.get(f"{survey}?likely=9", **asked), "survey-problems": pages.post(survey, {}, **asked),
        "survey-thanks": pages.post(survey, {"likely": "9"}, **asked), "survey-again": pages.get(survey, **asked),
        "desk": pages.get("/i/sales", **asked), "desk-problems": pages.post("/i/sales", CALL, **asked),
        "desk-thanks": pages.post("/i/sales", {
            "email": "a@b.example", "subject": "x", "content": "y", "phone": "1", **CALL,
        }, **asked),
    }  # fmt: skip
    pages.clock.instant = event.held.ends_at
    found |= {"event-over": pages.get("/events/paper-day", **asked), "mine-over": pages.get(waits, **asked)}
    return {name: answer.text for name, answer in found.items()}


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_pages_have_no_violation_and_fit_every_screen(
    browser: str, axe: str, event: EventPages, tmp_path: Path, language: str
) -> None:
    """
    axe finds nothing on any page, light or dark, on a desktop or on 320 pixels, and nothing is wider than the screen.
    """
    assert_sound(browser, axe, every_page(event, language), tmp_path)


@pytest.mark.parametrize("size", ["1280,1700", "500,2200"], ids=["desktop", "phone"])
def test_pages_can_be_looked_at(browser: str, event: EventPages, tmp_path: Path, size: str) -> None:
    """
    Each is drawn as it is served, its policy allowing its style; the pictures are kept in the test's folder.
    """
    customer = event.pages.customer(email="reader@customers.example", consents=("promotions",))
    survey = event.asked(customer)
    for name in ("ann", "bo", "cy"):
        event.register(f"{name}@customers.example", first_name=name.title(), company="Ash & Sons" * (name == "ann"))
    event.pages.post(event.door, {"registration": "2", "action": "here"})
    paths = {
        "event": "/events/paper-day", "survey": f"{survey}?likely=9", "desk": "/i/sales?lang=de", "door": event.door,
        "mine": event.registration(1), "chinese": "/events/paper-day?lang=zh&zone=Asia/Shanghai",
    }  # fmt: skip
    for name, path in paths.items():
        picture = tmp_path / f"{name}.png"
        options = (DARK,) if name == "door" else ()
        said = drawn(browser, event.pages.base_url + path, picture, size, *options)

        assert "Content Security Policy" not in said
        assert picture.stat().st_size > 20_000
