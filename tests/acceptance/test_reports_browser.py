"""The report's page in a real browser: drawn at desk and phone size, light and dark, and printed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from core.settings import Organisation
from reports.page import page
from tests.unit.test_reports_page import make_report

pytestmark = pytest.mark.browser

ORGANISATION = Organisation(name="Paper & Co", postal_address="1 Mill Lane, Papertown", zone="Europe/Berlin")
#: Containers have neither a sandbox nor much shared memory; the page is our own.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--virtual-time-budget=2000",
)  # fmt: skip
#: Added to the page, this writes into its title how much wider than the window the page is.
RULER = "<script>document.title = document.documentElement.scrollWidth - innerWidth</script>"


@pytest.fixture
def browser() -> str:
    """The Chromium on this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on PATH")
    return found


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    """A report's page."""
    path = tmp_path / "report.html"
    path.write_text(page(make_report(), ORGANISATION), encoding="utf-8")
    return path


def run(browser: str, file: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The browser opened the file, with a profile of its own."""
    command = [browser, *OPTIONS, f"--user-data-dir={file.parent / 'profile'}", *arguments, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.parametrize("size", ["1280,1600", "390,2600"], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_report_can_be_looked_at(browser: str, report_file: Path, size: str, dark: bool) -> None:
    """
    The page is drawn at both sizes and in both colour schemes; the picture is kept in the test's folder.
    """
    picture = report_file.parent / f"report-{size.replace(',', 'x')}-{'dark' if dark else 'light'}.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    run(browser, report_file, f"--window-size={size}", f"--screenshot={picture}", *scheme)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000


@pytest.mark.parametrize("width", [1280, 500])
def test_report_fits_the_window(browser: str, report_file: Path, width: int) -> None:
    """
    Nobody has to scroll sideways: wide tables scroll inside their own box. (500 is the narrowest window there is.)
    """
    text = report_file.read_text(encoding="utf-8").replace("</body>", f"{RULER}</body>")
    report_file.write_text(text, encoding="utf-8")
    shown = run(browser, report_file, f"--window-size={width},900", "--dump-dom").stdout

    assert "<title>0</title>" in shown


def test_report_charts_keep_their_figures(browser: str, report_file: Path) -> None:
    """
    The browser read every chart with its title and description, and no bar is wider than its chart.
    """
    shown = run(browser, report_file, "--dump-dom").stdout
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)%"', shown)]

    assert shown.count('role="img"') == shown.count("<desc ") == 3
    assert 0 < max(widths) <= 100


def test_report_can_be_printed(browser: str, report_file: Path) -> None:
    """
    The page prints to a PDF.
    """
    paper = report_file.parent / "report.pdf"
    run(browser, report_file, f"--print-to-pdf={paper}", "--no-pdf-header-footer")

    assert paper.read_bytes().startswith(b"%PDF")
