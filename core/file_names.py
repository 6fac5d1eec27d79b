"""What may be the name of a file that people receive."""

import re
from typing import Final

LONGEST: Final = 120
#: C0 and C1 controls, DEL, line and paragraph separators, and halves of surrogate pairs: they could end a header.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: Characters that turn the direction of writing: they make `gpj.exe` look like `exe.jpg`.
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def mistake_in(name: str) -> str | None:
    """What is wrong with the name, to be read after it (S-2.1, S-2.12); None when nothing is."""
    if found := _CONTROL.search(name):
        return f"holds a line break or control character (U+{ord(found[0]):04X})"
    if found := _TURNING.search(name):
        return f"holds a character that turns the direction of writing (U+{ord(found[0]):04X})"
    if "/" in name or "\\" in name:
        return "holds the parts of a path"
    if name.strip() in ("", ".", ".."):
        return "is no name of a file"
    if len(name) > LONGEST:
        return f"has {len(name)} characters, at most {LONGEST}"
    return None
