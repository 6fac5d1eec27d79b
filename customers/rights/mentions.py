"""Files of the workspace in which a person is still named: Clarion erases them in the database, not in your files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

#: Larger files, and those with octets that no text has, are not looked into.
_LARGEST: Final = 20_000_000
_SUFFIXES: Final = frozenset({
    ".csv", ".eml", ".html", ".json", ".jsonl", ".log", ".md", ".mjml", ".tsv", ".txt", ".yaml", ".yml",
})  # fmt: skip


def mentions(root: Path, words: Sequence[str]) -> Iterator[tuple[Path, int]]:
    """Each file below `root` in which one of `words` stands, in whatever case, with the first such line (from 1)."""
    if not words:
        return
    pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    for path in sorted(root.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if (found := pattern.search(text)) is not None:
            yield path, text.count("\n", 0, found.start()) + 1
