"""What people wrote, as plain text: no character is left that steers a terminal, breaks a header or hides."""

import re
from typing import Final

_LINE_ENDS: Final = re.compile("\r\n|[\r\u2028\u2029]")
#: They join or part letters of Persian and Indic words, and make one emoji of several.
_JOINERS: Final = "\u200c\u200d"
_KEPT: Final = frozenset(f"\n\t{_JOINERS}")


def one_line(text: str) -> str:
    """`text` as one line: every run of blanks, line ends and unprintable characters is one blank."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def plain(text: str) -> str:
    """`text` of one line or several, without unprintable characters; line ends are `\\n`, other blanks are blanks."""
    lines = _LINE_ENDS.sub("\n", text)
    shown = (char if char.isprintable() or char in _KEPT else " " if char.isspace() else "" for char in lines)
    return "".join(shown).strip(f" \n\t{_JOINERS}")
