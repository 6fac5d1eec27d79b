"""The words of the public pages: one file per language in `web/texts/`, found by its name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

import yaml

FALLBACK: Final = "en"
_FOLDER: Final = Path(__file__).parent / "texts"


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language; `code` is its name for `lang`."""

    code: str
    texts: Mapping[str, str]

    def say(self, name: str, **values: str) -> str:
        """The text, with its `${…}` filled in. Not escaped."""
        return Template(self.texts[name]).substitute(values)


@cache
def languages() -> dict[str, Words]:
    """Every language there is a file for, by its code."""
    return {
        path.stem: Words(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted(_FOLDER.glob("*.yaml"))
    }


def words_for(*wishes: str | None, accept: str = "") -> Words:
    """The words in the first language that there is: of `wishes` (BCP 47 tags), then of the Accept-Language
    header `accept`, then English."""
    known = languages()
    for wish in (*wishes, *_accepted(accept)):
        code = (wish or "").replace("_", "-").split("-")[0].strip().lower()
        if code in known:
            return known[code]
    return known[FALLBACK]


def _accepted(header: str) -> Iterator[str]:
    """The tags of an Accept-Language header, the most wanted first; what is malformed counts as unwanted."""
    ranked: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, quality = part.partition(";q=")
        try:
            ranked.append((float(quality or 1), tag))
        except ValueError:
            continue
    yield from (tag for quality, tag in sorted(ranked, key=lambda item: -item[0]) if quality > 0)
