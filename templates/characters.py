"""Characters that HTML writes as references: those that mean something in it, and signs that ASCII can say so.

A page without any character outside ASCII is sent as it is, and not encoded (S-2.7).
"""

from typing import Final

#: What word processors and number formats put in the place of plain signs, and the blank of the preheader's filler.
_SIGNS: Final = {
    sign: f"&#{ord(sign)};" for sign in "\u20ac\u00a0\u2013\u2014\u2018\u2019\u201c\u201d\u2022\u2026\u00b7"
}
#: As an HTML parser leaves the filler behind (`templates.frame`).
_FILLER: Final = ("\u034f\u200c", "&#847;&#8204;")


def filler_in_ascii(page: str) -> str:
    """`page` with the preheader's filler as it was written."""
    return page.replace(*_FILLER)


def in_ascii(page: str) -> str:
    """`page` with those signs as character references. Its style sheets must hold none: there they mean nothing."""
    if page.isascii():
        return page
    for sign, reference in _SIGNS.items():
        if sign in page:
            page = page.replace(sign, reference)
    return page


def escaped(text: str) -> str:
    """`text` as HTML shows it, as `markupsafe.escape` writes it in three times the time: few texts need any of it."""
    if "&" in text:  # first: the others bring new ones
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "'" in text:
        text = text.replace("'", "&#39;")
    if '"' in text:
        text = text.replace('"', "&#34;")
    return text
