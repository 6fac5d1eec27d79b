"""The unsubscribe page in a real browser: looked at on desktop and phone, light and dark, and used."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.serving import Correspondence, correspondence

pytestmark = pytest.mark.browser

#: Chromium's command line cannot press a button, so a page with the same form sends itself.
SUBMIT = """\
<form id="f" method="post" action="{url}"><input name="choice" value="{choice}"></form><script>f.submit()</script>
"""
#: Containers have neither a sandbox nor much shared memory; the pages are our own.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--virtual-time-budget=3000", "--enable-logging=stderr",
)  # fmt: skip


@pytest.fixture
def browser() -> str:
    """The Chromium on this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on PATH")
    return found


@pytest.fixture
def mailed(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> Iterator[Correspondence]:
    """A message to a German customer."""
    with correspondence(make_workspace, database, clock, language="de") as one:
        yield one


def run(browser: str, folder: Path, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The browser opened the page, with a profile of its own."""
    command = [browser, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *arguments, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.parametrize("size", ["1280,800", "390,844"], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_unsubscribe_page_can_be_looked_at(
    browser: str, mailed: Correspondence, tmp_path: Path, size: str, dark: bool
) -> None:
    """
    The page is drawn at both sizes and in both colour schemes; the picture is kept in the test's folder.
    """
    picture = tmp_path / f"unsubscribe-{size.replace(',', 'x')}-{'dark' if dark else 'light'}.png"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    run(browser, tmp_path, mailed.urls.unsubscribe, f"--window-size={size}", f"--screenshot={picture}", *scheme)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 5_000


def test_style_passes_the_pages_own_policy(browser: str, mailed: Correspondence, tmp_path: Path) -> None:
    """
    The browser reports no violation of the Content-Security-Policy, so the style is applied.
    """
    done = run(browser, tmp_path, mailed.urls.unsubscribe, "--dump-dom")

    assert "Abmelden" in done.stdout
    assert "Content Security Policy" not in done.stderr


def test_opening_the_page_changes_nothing(browser: str, mailed: Correspondence, tmp_path: Path) -> None:
    """
    A browser that renders the page, scripts and all, has opted nobody out.
    """
    before = mailed.row_counts()
    shown = run(browser, tmp_path, mailed.urls.unsubscribe, "--dump-dom").stdout

    assert 'value="everything"' in shown
    assert before == mailed.row_counts()


def test_form_sent_by_a_browser_is_confirmed(browser: str, mailed: Correspondence, tmp_path: Path) -> None:
    """
    The form's POST, as a browser encodes it, ends on the page that confirms it.
    """
    page = tmp_path / "submit.html"
    page.write_text(SUBMIT.format(url=mailed.urls.unsubscribe, choice="everything"), encoding="utf-8")
    shown = run(browser, tmp_path, page.as_uri(), "--dump-dom").stdout

    assert "Sie sind abgemeldet" in shown
    assert 1 == mailed.row_counts()["suppression"]


def test_view_is_drawn_in_its_sandbox(browser: str, mailed: Correspondence, tmp_path: Path) -> None:
    """
    The mailing is shown, and counted as the machine's view it is.
    """
    picture = tmp_path / "view.png"
    run(browser, tmp_path, mailed.urls.view, "--window-size=800,600", f"--screenshot={picture}")

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [("view", None, "machine", "program")] == mailed.hits()
