"""Every public page in a real browser: looked at, tried on a narrow screen, and judged by axe-core."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest

from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import factories
from tests.public_pages import GOOD, SETTINGS, Pages, public_pages
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose

pytestmark = pytest.mark.browser

#: Containers have neither a sandbox nor much shared memory; the pages are our own.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--no-first-run", "--virtual-time-budget=60000",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
#: Rules of WCAG 2.2, A and AA, and what axe calls best practice.
AXE = "axe-core@4.10.3"

#: Puts each page into a frame of the width, lets axe judge it there, and leaves the verdicts in an attribute.
JUDGE = """\
<!doctype html><html lang="en"><title>judge</title><body><script>
const pages = {pages}, axe_source = {axe}, width = {width};
(async () => {{
  const verdicts = {{}};
  for (const [name, html] of Object.entries(pages)) {{
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${{width}}px;height:900px;border:0`;
    frame.srcdoc = html;
    await new Promise(done => {{ frame.onload = done; document.body.append(frame); }});
    const inner = frame.contentDocument, script = inner.createElement("script");
    script.textContent = axe_source;
    inner.head.append(script);
    const found = await frame.contentWindow.axe.run(inner);
    verdicts[name] = {{
      violations: found.violations.map(each => each.id + ": " + each.nodes.map(node => node.target).join(" ")),
      checked: found.passes.length, wide: inner.documentElement.scrollWidth - width,
    }};
    frame.remove();
  }}
  document.documentElement.setAttribute("data-verdicts", JSON.stringify(verdicts));
}})();
</script></body></html>
"""

ANN = factories.key_of("ann@customers.example")


@pytest.fixture(scope="session")
def browser() -> str:
    """The Chromium on this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on PATH")
    return found


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm: a tool of these tests that is not part of Clarion."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH: axe-core cannot be fetched")
    done = subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, text=True, timeout=120)
    packed = next(folder.glob("axe-core-*.tgz"), None)
    if done.returncode != 0 or packed is None:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr.strip()[-200:]}")
    with tarfile.open(packed) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


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


def judged(
    browser: str, axe: str, found: dict[str, str], folder: Path, width: int, *options: str
) -> dict[str, dict[str, object]]:
    """What axe says of each page in a frame of this width."""
    page = folder / f"judge-{width}.html"
    written = {name: json.dumps(value).replace("</", "<\\/") for name, value in (("pages", found), ("axe", axe))}
    page.write_text(JUDGE.format(**written, width=width), encoding="utf-8")
    command = [browser, *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    verdicts = re.search(r'data-verdicts="([^"]*)"', done.stdout)
    assert verdicts is not None, done.stderr[-2000:]
    answers: dict[str, dict[str, object]] = json.loads(unescape(verdicts[1]))
    return answers


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_pages_have_no_violation_and_fit_every_screen(
    browser: str, axe: str, pages: Pages, tmp_path: Path, language: str
) -> None:
    """
    axe finds nothing on any page, light or dark, on a desktop or on 320 pixels, and nothing is wider than the screen.
    """
    found = every_page(pages, language)
    for width, options in ((1280, ()), (320, ()), (320, (DARK,))):
        verdicts = judged(browser, axe, found, tmp_path, width, *options)

        assert found.keys() == verdicts.keys()
        assert {} == {name: told["violations"] for name, told in verdicts.items() if told["violations"]}
        assert {} == {name: told["wide"] for name, told in verdicts.items() if int(str(told["wide"])) > 0}
        assert all(int(str(told["checked"])) > 10 for told in verdicts.values())


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
    command = [browser, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}",
               "--enable-logging=stderr", f"--screenshot={picture}", pages.base_url + paths[page]]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert "Content Security Policy" not in done.stderr
    assert picture.stat().st_size > 20_000
