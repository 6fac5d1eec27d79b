"""Every public page in a real browser: looked at, tried on a narrow screen, and judged by axe-core."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import factories
from tests.browsing import assert_sound, axe, browser, drawn
from tests.public_pages import GOOD, SETTINGS, Pages, public_pages
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose

pytestmark = pytest.mark.browser
__all__ = ["axe", "browser"]  # fixtures

ANN = factories.key_of("ann@customers.example")


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages."""
    with public_pages(make_workspace, database, clock, settings=SETTINGS) as running:
        yield running


def every_page(pages: Pages, language: str) -> dict[str, str]:
    """The HTML of each page in each state that looks different, by name."""
    customer = pages.customer(email="ann@customers.example", consents=("promotions",), language=language)
    with pages.database.begin() as connection:
        factories.make_consent(connection, customer, channel="sms", topic="promotions")
    message = pages.mailed(customer)
    asked = {"Accept-Language": language}
    signed_up = pages.post("/f/newsletter", GOOD, **asked)
    links_sent = [pages.post("/my", {"email": "ann@customers.example", "what": what}, **asked)
                  for what in ("export", "erase")]  # fmt: skip
    mails = {mail["given"].get("kind", "confirm"): pages.path_in(mail) for mail in pages.mails()}
    preferences = f"/p/{pages.token(TimedPurpose.MAIL_PREFERENCES, message)}"
    unsubscribe = f"/u/{pages.signer.sign(Purpose.UNSUBSCRIBE, message)}"
    chosen = {"action": "save", "topics:email": ["news"], "often": "3 in 14d", "pause": "30d", "privacy": "tracking"}
    answers = {
        "form": pages.get("/f/newsletter", **asked), "form-of-one-topic": pages.get("/f/offers", **asked),
        "form-with-problems": pages.post("/f/newsletter", {"email": "nobody"}, **asked), "signed-up": signed_up,
        "confirm": pages.get(mails["confirm"], **asked), "confirmed": pages.post(mails["confirm"], **asked),
        "used": pages.get(mails["confirm"], **asked), "preferences": pages.get(preferences),
        "preferences-saved": pages.post(preferences, chosen), "stopped": pages.post(preferences, {"action": "stop"}),
        "ask": pages.get("/my", **asked), "ask-with-problems": pages.post("/my", {}, **asked),
        "link-sent": links_sent[0], "export": pages.get(mails["export"]), "erase": pages.get(mails["erase"]),
        "unsubscribe": pages.get(unsubscribe), "unsubscribed": pages.post(unsubscribe, {"choice": "everything"}),
        "ended": pages.get(f"/p/{pages.token(TimedPurpose.PREFERENCES, ANN.int, seconds=-1)}", **asked),
        "not-found": pages.get("/k/nothing", **asked), "erased": pages.post(mails["erase"]),
    }  # fmt: skip
    return {name: answer.text for name, answer in answers.items()}


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_pages_have_no_violation_and_fit_every_screen(
    browser: str, axe: str, pages: Pages, tmp_path: Path, language: str
) -> None:
    """
    axe finds nothing on any page, light or dark, on a desktop or on 320 pixels, and nothing is wider than the screen.
    """
    found = every_page(pages, language)
    assert_sound(browser, axe, found, tmp_path)


@pytest.mark.parametrize("page", ["form", "preferences", "ask"])
@pytest.mark.parametrize("size", ["1280,1600", "500,1900"], ids=["desktop", "phone"])
def test_pages_can_be_looked_at(browser: str, pages: Pages, tmp_path: Path, page: str, size: str) -> None:
    """
    The page is drawn as it is served, its policy allowing its style; the picture is kept in the test's folder.
    """
    pages.customer(email="ann@customers.example", consents=("promotions",))
    paths = {"form": "/f/newsletter", "ask": "/my",
             "preferences": f"/p/{pages.token(TimedPurpose.PREFERENCES, ANN.int)}"}  # fmt: skip
    picture = tmp_path / f"{page}-{size.replace(',', 'x')}.png"
    said = drawn(browser, pages.base_url + paths[page], picture, size)

    assert "Content Security Policy" not in said
    assert picture.stat().st_size > 20_000
