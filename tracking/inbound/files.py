"""Mails in files, read no further than is needed to tell what they report."""

from pathlib import Path
from typing import Final

#: Of a mail in a file: what reports say stands at their beginning.
READ_AT_MOST: Final = 32 * 1024 * 1024


def beginning(path: Path, most: int = READ_AT_MOST) -> tuple[bytes, bool]:
    """The first `most` bytes of the file, and whether that is all of it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(most)
        return content, not stream.read(1)
