"""Chromium and axe-core, for tests that look at pages."""

import json
import re
import shutil
import subprocess
import tarfile
from html import unescape
from pathlib import Path

import pytest

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


def assert_sound(browser: str, axe: str, found: dict[str, str], folder: Path) -> None:
    """axe finds nothing on any page, light or dark, on a desktop or on 320 pixels, and nothing is wider than the
    screen."""
    for width, options in ((1280, ()), (320, ()), (320, (DARK,))):
        verdicts = judged(browser, axe, found, folder, width, *options)

        assert found.keys() == verdicts.keys()
        assert {} == {name: told["violations"] for name, told in verdicts.items() if told["violations"]}
        assert {} == {name: told["wide"] for name, told in verdicts.items() if int(str(told["wide"])) > 0}
        assert all(int(str(told["checked"])) > 10 for told in verdicts.values())


def drawn(browser: str, url: str, picture: Path, size: str, *options: str) -> str:
    """The page is drawn into `picture` as it is served; what the browser said is returned."""
    command = [browser, *OPTIONS, *options, f"--user-data-dir={picture.parent / 'profile'}", f"--window-size={size}",
               "--enable-logging=stderr", f"--screenshot={picture}", url]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
