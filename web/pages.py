"""The public pages and other answers: small, without script, the same for everybody.

Pages are filled by `string.Template` with escaped values; the only style is inline and named by its hash in
the Content-Security-Policy.
"""

import base64
import hashlib
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
_PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: A mailing is shown as if it came from nowhere: no script, no form, no access to anything of this site.
_MAILING_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; "
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline' https:; "
    "font-src https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A transparent picture of one pixel.
PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / name).read_text(encoding="utf-8"))


def page(
    words: Words, template: str, *, title: str, footer: str, values: dict[str, str], status: int = 200
) -> Response:
    """A page in the common frame. `values` and the rest are plain text and are escaped here."""
    content = _template(template).substitute({name: escape(value) for name, value in values.items()})
    html = _template("page.html").substitute(
        language=words.code, title=escape(title), style=_STYLE, content=content, footer=escape(footer)
    )
    headers = {**COMMON_HEADERS, "content-security-policy": _PAGE_POLICY, "content-language": words.code}
    return HTMLResponse(html, status_code=status, headers=headers)


def message_page(words: Words, name: str, *, footer: str, status: int = 200) -> Response:
    """A page that only says something: the texts `<name>_heading` and `<name>_words`."""
    heading = words.say(f"{name}_heading")
    values = {"heading": heading, "words": words.say(f"{name}_words")}
    return page(words, "message.html", title=heading, footer=footer, values=values, status=status)


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
