"""A mailing as a page to look at, and as a picture drawn by a browser that is installed."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from markupsafe import escape

from core.errors import ServiceError
from templates.mailing import Mailing, Rendered, Urls

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_S: Final = 60
#: Whatever the page names, the browser opens no connection: every host resolves to nothing.
_OFFLINE: Final = "--host-resolver-rules=MAP * ~NOTFOUND"


class _PreviewUrls:
    """Links that lead where they say, recording nothing."""

    unsubscribe = "#unsubscribe"
    preferences = "#preferences"
    view = "#view"
    pixel = None

    def survey(self, name: str) -> str:
        return f"https://survey.example/{name}"

    def registration(self, name: str) -> str:
        return f"https://events.example/{name}"

    def clicks(self, targets: Sequence[str]) -> list[str]:
        return list(targets)

    def click(self, position: int | None, url: str) -> str:  # noqa: ARG002  as `Urls` wants it
        return url


def preview_html(mailing: Mailing, context: Mapping[str, object], urls: Urls | None = None) -> str:
    """The mailing for one customer as a page; a mailing of plain text is shown in fixed width.

    Without `urls` its links lead straight to their targets and nothing is recorded.

    Raises:
        RenderError: it cannot be rendered for this customer.
    """
    return page_of(mailing.render(context, urls if urls is not None else _PreviewUrls()))


def page_of(rendered: Rendered) -> str:
    """The HTML of a rendered mailing, or its text as a page."""
    if rendered.html is not None:
        return rendered.html
    style = "white-space:pre-wrap;font:14px/1.5 monospace;margin:24px"
    return (
        f'<!DOCTYPE html><meta charset="utf-8"><title>{escape(rendered.subject)}</title>'
        f'<pre style="{style}">{escape(rendered.text)}</pre>'
    )


def find_browser() -> str:
    """The path of the first browser found.

    Raises:
        ServiceError: there is none.
    """
    for name in _BROWSERS:
        if (path := shutil.which(name)) is not None:
            return path
    raise ServiceError(
        "no browser was found to draw the picture with",
        hint=f"install Chromium (looked for {', '.join(_BROWSERS)}), or write --html and open it yourself",
    )


def write_png(html: str, path: Path, *, width: int = 700, height: int = 1400) -> None:
    """`path` holds a picture of `html`, `width` × `height` pixels. Repeat: safe, the file is replaced.

    Nothing is fetched: pictures from web servers are left blank.

    Raises:
        ServiceError: there is no browser, or it failed.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="clarion-preview-") as folder:
        page, picture = Path(folder, "page.html"), Path(folder, "picture.png")
        page.write_text(_without_meta_refresh(html), encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", _OFFLINE,
            f"--user-data-dir={folder}/profile", f"--window-size={width},{height}",
            f"--screenshot={picture}", page.as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, text=True)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"{browser} drew nothing within {_TIMEOUT_S} s") from None
        if done.returncode or not picture.is_file():
            last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
            raise ServiceError(f"{browser} could not draw the picture: {last[0]}")
        shutil.copyfile(picture, path)


def _without_meta_refresh(html: str) -> str:
    return re.sub(r"(?i)<meta[^>]*http-equiv=[\"']?refresh[^>]*>", "", html)
