"""The public pages and other answers: small, without script, the same for everybody.

Pages are filled by `string.Template` with escaped values; the only style is inline and named by its hash in
the Content-Security-Policy.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from starlette.responses import HTMLResponse, Response

from web.languages import Words

_FOLDER: Final = Path(__file__).parent / "html"
_STYLE: Final = (_FOLDER / "style.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: On every answer: nothing is cached, indexed, sniffed, or told to the next site.
COMMON_HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_PAGE_POLICY: Final = "default-src 'none'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
#: A mailing is shown as if it came from nowhere: no script, no form, no access to anything of this site.
_MAILING_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; "
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline' https:; "
    "font-src https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A transparent picture of one pixel.
PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


class Html(str):
    """Text that is HTML already: it was escaped where it was made, and is not escaped again."""

    __slots__ = ()


NOTHING: Final = Html()
Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the content of every page. `languages` are links to the same page in others; from `origins`
    scripts, frames and styles may be loaded."""

    title: str
    organisation: str
    footer: str
    languages: Html = NOTHING
    origins: tuple[str, ...] = ()
    head: Html = NOTHING


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / name).read_text(encoding="utf-8"))


def fragment(name: str, values: Values) -> Html:
    """A piece of a page. Values are plain text and are escaped here, unless they are `Html`."""
    filled = {key: value if isinstance(value, Html) else escape(value) for key, value in values.items()}
    return Html(_template(name).substitute(filled))


def joined(pieces: "list[Html]") -> Html:
    """The pieces, one under the other."""
    return Html("\n".join(pieces))


def page(words: Words, content: Html, frame: Frame, status: int = 200) -> Response:
    """A page in the common frame."""
    html = _template("page.html").substitute(
        language=words.code, direction=escape(words.say("direction")), title=escape(frame.title), style=_STYLE,
        head=frame.head, organisation=escape(frame.organisation), content=content, footer=escape(frame.footer),
        languages=frame.languages,
    )  # fmt: skip
    headers = {**COMMON_HEADERS, "content-security-policy": _policy(frame.origins), "content-language": words.code}
    return HTMLResponse(html, status_code=status, headers=headers)


def _policy(origins: tuple[str, ...]) -> str:
    named = "".join(f" {origin}" for origin in origins)
    foreign = "".join(f"; {kind}{named}" for kind in ("script-src", "frame-src", "connect-src")) if named else ""
    return f"{_PAGE_POLICY}; style-src 'sha256-{_STYLE_HASH}'{named}{foreign}"


def mailing(html: str | None, text: str) -> Response:
    """A rendered mailing, locked into a sandbox; its text when it has no HTML."""
    headers = {**COMMON_HEADERS, "content-security-policy": _MAILING_POLICY}
    if html is None:
        return Response(text, media_type="text/plain; charset=utf-8", headers=headers)
    return HTMLResponse(html, headers=headers)


def redirect(target: str) -> Response:
    """302 to exactly `target`, which must be ASCII. (Starlette's own redirect would quote it once more.)"""
    return Response(status_code=302, headers={**COMMON_HEADERS, "location": target})


def pixel() -> Response:
    """The transparent picture."""
    return Response(PIXEL, media_type="image/gif", headers=COMMON_HEADERS)


def plain(text: str, status: int = 200, **headers: str) -> Response:
    """One line of text."""
    return Response(f"{text}\n", status, media_type="text/plain; charset=utf-8", headers={**COMMON_HEADERS, **headers})
