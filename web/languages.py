"""The words of the public pages: one file per language in `web/texts/`, and in `pages/` of the workspace.

A file of the workspace adds a language, or replaces texts of one that is there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

import yaml

from core.errors import Problem
from core.names import did_you_mean
from core.workspace import Workspace, raise_if
from core.yaml_files import read_document

FALLBACK: Final = "en"
#: Where a workspace keeps texts of its own, as `<language>.yaml`.
WORKSPACE_FOLDER: Final = "pages"
_FOLDER: Final = Path(__file__).parent / "texts"
_CODE: Final = re.compile(r"[a-z]{2,3}")
_PLACES: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language; `code` is its name for `lang`."""

    code: str
    texts: Mapping[str, str]

    def say(self, name: str, /, **values: str) -> str:
        """The text, with its `${…}` filled in. Not escaped."""
        return Template(self.texts[name]).substitute(values)

    def length(self, time: timedelta) -> str:
        """A length of time in whole days, or below two days in whole hours."""
        hours = round(time.total_seconds() / 3600)
        name, count = ("day", hours // 24) if hours % 24 == 0 or hours > 48 else ("hour", hours)
        return self.say(f"one_{name}") if count == 1 else self.say(f"{name}s", count=str(count))

    def listed(self, names: list[str]) -> str:
        """Names one after the other."""
        return self.say("list_comma").join(names)


@cache
def languages() -> dict[str, Words]:
    """Every language that is shipped, by its code."""
    return {
        path.stem: Words(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted(_FOLDER.glob("*.yaml"))
    }


def languages_of(workspace: Workspace) -> dict[str, Words]:
    """Every language that is shipped, and those of the workspace.

    Raises:
        ConfigError: with every text that is missing, unknown, or names other places to fill than the English one.
    """
    found, problems = dict(languages()), list[Problem]()
    for path in workspace.files(WORKSPACE_FOLDER, ".yaml", ".yml"):
        known = found.get(path.stem)
        texts = _checked(path, workspace.shown(path), known, problems)
        found[path.stem] = Words(path.stem, {**(known.texts if known else {}), **texts})
    raise_if(problems)
    return found


def _checked(path: Path, shown: str, known: Words | None, problems: list[Problem]) -> dict[str, str]:
    """The texts of a file of the workspace; what is wrong with them joins `problems`."""
    document = read_document(path, shown, has_variables=False)
    problems += document.problems
    english = languages()[FALLBACK].texts
    if not _CODE.fullmatch(path.stem):
        problems.append(Problem(shown, 0, f"{path.stem!r} is no language", "name the file like fr.yaml"))
    content = document.content if isinstance(document.content, dict) else {}
    for name, text in content.items():
        if name not in english:
            hint = did_you_mean(str(name), english)
            problems.append(document.problem((name,), f"the pages have no text {name!r}", hint))
        elif not isinstance(text, str) or not text.strip():
            problems.append(document.problem((name,), f"{name} is wrong (expected a text)"))
        elif _places(text) != _places(english[name]):
            expected = ", ".join(f"${{{place}}}" for place in sorted(_places(english[name]))) or "none"
            problems.append(document.problem((name,), f"{name} has other places to fill than it should ({expected})"))
    missing = [name for name in english if name not in content] if known is None else []
    if missing:
        problems.append(document.problem((), f"texts are missing: {', '.join(missing)}", "copy them from English"))
    return {name: text for name, text in content.items() if isinstance(text, str)}


def _places(text: str) -> set[str]:
    """The names to fill in; a `$` that begins none counts as one, for it cannot be filled."""
    found = {braced or bare for braced, bare in _PLACES.findall(text)}
    return found | {"$"} if "$" in _PLACES.sub("", text).replace("$$", "") else found


def words_for(*wishes: str | None, accept: str = "", known: Mapping[str, Words] | None = None) -> Words:
    """The words in the first language that there is: of `wishes` (BCP 47 tags), then of the Accept-Language
    header `accept`, then English."""
    known = languages() if known is None else known
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
