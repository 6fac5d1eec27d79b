"""What Clarion adds to every mailing: the preheader, the footer with the way out, and the open pixel."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from core.workspace import raise_if
from templates.chunks import Chunk, Kind, cut, depths
from templates.locales import locale_of
from templates.masking import Mask, hide_in_html, hide_in_text

_BUILTIN: Final = Path(__file__).parent / "builtin"
#: Filler after the preheader, so that clients do not show the first words of the body behind it; in lines that need
#: no transfer encoding.
_FILLER: Final = ("&#847;&zwnj;&nbsp;" * 15 + "\n") * 4
_HIDDEN: Final = "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px"
_PIXEL: Final = (
    '{% if _pixel %}<img src="{{ _pixel }}" width="1" height="1" alt="" style="display:block;border:0">{% endif %}'
)


def links_back(chunks: Sequence[Chunk]) -> bool:
    """Whether every message will hold the unsubscribe link: it is printed outside all conditions and loops."""
    return any(
        depth == 0 and chunk.kind is Kind.PRINT and chunk.text.strip() == "unsubscribe_url"
        for chunk, depth in zip(chunks, depths(chunks), strict=True)
    )


def names_sender(chunks: Sequence[Chunk]) -> bool:
    """Whether every message will hold the organisation's postal address: it is printed outside all conditions."""
    return any(
        depth == 0 and chunk.kind is Kind.PRINT and chunk.text.strip().startswith("organisation.postal_address")
        for chunk, depth in zip(chunks, depths(chunks), strict=True)
    )


def footer(suffix: str, language: str, *, transactional: bool = False) -> list[Chunk]:
    """Name and postal address of the organisation, links to unsubscribe, preferences and view, as `.html` or `.txt`.

    A transactional message has only the last one.
    """
    locale = locale_of(language)
    name = "transactional-footer" if transactional else "footer"
    text = (_BUILTIN / f"{name}{suffix}").read_text(encoding="utf-8")
    words = Template(text).substitute(unsubscribe=locale.unsubscribe, preferences=locale.preferences, view=locale.view)
    return cut(words, f"footer{suffix}")[0]


def framed(
    html: str,
    mask: Mask,
    *,
    opening: Sequence[Chunk],
    preheader: Sequence[Chunk],
    footer_chunks: Sequence[Chunk],
    opens: bool,
) -> str:
    """`html`, masked, with the macros of `opening` and the hidden preheader first in its body, footer and pixel last.

    Raises:
        ConfigError: a macro prints a value where escaping cannot protect it.
    """
    macros, problems = hide_in_html(opening, mask)
    raise_if(problems)
    first = "".join(macros).strip()
    if preheader:
        hidden = escape(hide_in_text(preheader, mask), quote=False)
        first += f'<div style="{_HIDDEN}">{hidden}{_FILLER}</div>'
    html = _after_body_start(html, first)
    last = list(footer_chunks)
    if opens:
        last += cut(_PIXEL, "pixel")[0]
    parts, _ = hide_in_html(last, mask)
    return _before_body_end(html, "".join(parts))


def _after_body_start(html: str, added: str) -> str:
    match = re.search(r"<body\b(?:[^\"'>]|\"[^\"]*\"|'[^']*')*>", html, re.IGNORECASE)
    return html[: match.end()] + added + html[match.end() :] if match else added + html


def _before_body_end(html: str, added: str) -> str:
    at = html.lower().rfind("</body")
    return html[:at] + added + html[at:] if at >= 0 else html + added
