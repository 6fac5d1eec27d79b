"""The calendar's page in a real browser, at a desk and on a phone, light and dark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.calendar import page
from campaigns.calendar.entries import Calendar, Certainty, Entry, Kind, Window
from tests.acceptance.test_reports_browser import RULER, browser, run

__all__ = ["browser"]
pytestmark = pytest.mark.browser
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def made(
    days: int, hour: int, kind: Kind, name: str, what: str, count: int | None, sure: bool, **more: object
) -> Entry:
    """A line, so many days after now."""
    at = NOW.replace(hour=hour, minute=0) + timedelta(days=days)
    certainty = Certainty.UNKNOWN if count is None else Certainty.MEASURED if sure else Certainty.ESTIMATED
    return Entry(at, kind, name, what, count, certainty, **more)  # type: ignore[arg-type]


@pytest.fixture
def calendar_file(tmp_path: Path) -> Path:
    """A page with every kind of line, long names, large numbers and a remark."""
    entries = [
        made(0, 11, Kind.MAILING, "black-friday-early", "goes out", 18_204, True, until=NOW + timedelta(hours=6)),
        made(0, 12, Kind.DEADLINE, "tasks", "are due", 7, True, is_mail=False, remark="2 overdue"),
        made(1, 9, Kind.RECURRING, "monday-news", "runs", 1_241_250, False, remark="as on 2026-11-16"),
        made(1, 10, Kind.SEQUENCE, "welcome-new-customers", "first-offer-of-a-series is sent", 1_204, True),
        made(2, 18, Kind.EVENT_MAIL, "an-event-with-" + "a-long-" * 8 + "name", "reminder-7d", 120, False),
        made(5, 8, Kind.RECURRING, "loyalty-points", "runs", 5_200, False, is_paused=True),
        made(9, 19, Kind.EVENT, "paper-evening", "takes place", 120, True, is_mail=False),
        made(10, 9, Kind.MAILING, "advent", "is written for this time", None, False, remark="not applied yet"),
    ]
    calendar = Calendar.of(Window(NOW, 14, "Europe/Berlin"), entries, ["files of the workspace have mistakes"])
    path = tmp_path / "calendar.html"
    path.write_text(page.written(calendar, "Paper & Co"), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", ["1280,1500", "390,2400"], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_calendar_can_be_looked_at(browser: str, calendar_file: Path, size: str, dark: bool) -> None:
    """
    The page is drawn at both sizes and in both colour schemes.
    """
    picture = calendar_file.parent / f"calendar-{size.replace(',', 'x')}-{'dark' if dark else 'light'}.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    run(browser, calendar_file, f"--window-size={size}", f"--screenshot={picture}", *scheme)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000


@pytest.mark.parametrize("width", [1280, 500])
def test_calendar_fits_the_window(browser: str, calendar_file: Path, width: int) -> None:
    """
    Nobody has to scroll sideways, whatever things are called. (500 is the narrowest window there is.)
    """
    text = calendar_file.read_text(encoding="utf-8").replace("</body>", f"{RULER}</body>")
    calendar_file.write_text(text, encoding="utf-8")
    shown = run(browser, calendar_file, f"--window-size={width},900", "--dump-dom").stdout

    assert "<title>0</title>" in shown
