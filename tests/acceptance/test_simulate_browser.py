"""A rehearsal's page in a real browser: drawn at desk and phone size, light and dark."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.simulation.applying import Refused
from campaigns.simulation.assumptions import Assumptions
from campaigns.simulation.courier import Flaw
from campaigns.simulation.figures import (
    Day,
    DeadEnd,
    Due,
    Figures,
    Moment,
    Pressed,
    StepFigures,
    TransportDay,
    TransportFigures,
)
from core.settings import Organisation
from reports.rehearsal.page import page
from tests.acceptance.test_reports_browser import RULER, browser, run  # noqa: F401  a fixture

pytestmark = pytest.mark.browser
ORGANISATION = Organisation(name="Paper & Co", postal_address="1 Mill Lane, Papertown", zone="Europe/Berlin")
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def figures() -> Figures:
    """A month in which everything happens that the page has a place for."""
    step = StepFigures(
        "a-welcome-with-a-rather-long-name", "hello-again", "sequence", 1200, 1000, 12, 8, 0,
        {"not_consented": 150, "suppressed:unsubscribed": 30}, {"quiet_hours": 400, "frequency_cap": 90},
        START, START + timedelta(days=20), None,
    )  # fmt: skip
    return Figures(
        start=START, until=START + timedelta(days=30), zone="Europe/Berlin", assumptions=Assumptions(),
        applied=("welcome",), refused=(Refused("large", "large: 9,000 people would be written to", "narrow it"),),
        days=tuple(
            Day(date(2026, 3, day), day * 37 % 190, day % 3, {"main": 5}, {step.campaign: day * 37 % 190})
            for day in range(2, 32)
        ),
        steps=(step,),
        transports=(TransportFigures("main", 3000, date(2026, 3, 9), 189, START, 120, 60.0),),
        exceeded=(TransportDay("main", date(2026, 3, 9), 189, 100),),
        domains={"gmail.com": 900, "a-rather-long-domain-of-a-customer.example": 400},
        pressure={1: 500, 2: 300, 3: 40, 7: 2}, pressed=(Pressed("K00372", 7, 19, START),), answers={"open": 300},
        dead_ends=(DeadEnd("step_not_reached", step.campaign, "thanks", "nobody comes to this step"),),
        due=(Due("task", "sequence", 40, START, START),), rendered=5,
        flaws=(Flaw("offer", "send", "K1", "customer.company has no value"),), flaw_counts={"offer/send": 3},
        watched="K00372", moments=(Moment(START, START, "message", step.campaign, "hello", "A subject <of> theirs"),),
        instants=700, seconds=12.5,
    )  # fmt: skip


@pytest.fixture
def rehearsal_file(tmp_path: Path) -> Path:
    """A rehearsal's page."""
    path = tmp_path / "rehearsal.html"
    path.write_text(page(figures(), ORGANISATION), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", ["1280,2600", "390,4200"], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_rehearsal_can_be_looked_at(browser: str, rehearsal_file: Path, size: str, dark: bool) -> None:  # noqa: F811
    """
    The page is drawn at both sizes and in both colour schemes; the picture is kept in the test's folder.
    """
    picture = rehearsal_file.parent / f"rehearsal-{size.replace(',', 'x')}-{'dark' if dark else 'light'}.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    run(browser, rehearsal_file, f"--window-size={size}", f"--screenshot={picture}", *scheme)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000


@pytest.mark.parametrize("width", [1280, 500])
def test_rehearsal_fits_the_window(browser: str, rehearsal_file: Path, width: int) -> None:  # noqa: F811
    """
    Nobody has to scroll sideways: wide tables scroll inside their own box.
    """
    text = rehearsal_file.read_text(encoding="utf-8").replace("</body>", f"{RULER}</body>")
    rehearsal_file.write_text(text, encoding="utf-8")
    shown = run(browser, rehearsal_file, f"--window-size={width},900", "--dump-dom").stdout

    assert "<title>0</title>" in shown
    assert "A subject &lt;of&gt; theirs" in shown
