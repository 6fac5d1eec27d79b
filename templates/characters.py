"""Signs that pure ASCII can say: a page without any other character is sent as it is, and not encoded (S-2.7)."""

import re
from typing import Final

_STYLE = re.compile(r"(<style\b.*?</style>)", re.DOTALL | re.IGNORECASE)
#: The invisible ones of the preheader's filler, and what word processors put in the place of plain signs.
_SIGNS: Final = {sign: f"&#{ord(sign)};" for sign in "\u00a0\u00ad\u00b7\u034f\u200b\u200c\u2013\u2014"
                               "\u2018\u2019\u201c\u201d\u2022\u2026\u2192\u20ac\u00a9\u00ae\u2122"}  # fmt: skip
_SIGN = re.compile(f"[{''.join(_SIGNS)}]")


def in_ascii(page: str) -> str:
    """`page` with those signs as character references, outside of style sheets, where none may stand."""
    pieces = _STYLE.split(page)
    return "".join(piece if _STYLE.match(piece) else referenced(piece) for piece in pieces)


def referenced(html: str) -> str:
    """Escaped text with those signs as character references."""
    return _SIGN.sub(lambda found: _SIGNS[found[0]], html)
