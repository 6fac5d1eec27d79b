"""The surveys of a workspace, read with every mistake in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from campaigns.surveys.definition import FOLDER, SurveyFile
from core.errors import NotFound, Problem
from core.field_types import NAME_PATTERN
from core.form_settings import PAGE_FIELDS
from core.names import did_you_mean
from core.workspace import Workspace, raise_if
from core.yaml_files import Document, build, read_document

#: Names of the page itself, and of what its link says: a question of such a name could not be told from them.
_TAKEN: Final = PAGE_FIELDS | {"token", "language"}


@dataclass(frozen=True, slots=True)
class Survey:
    """A survey and its name."""

    name: str
    definition: SurveyFile


def load_surveys(workspace: Workspace) -> tuple[dict[str, Survey], list[Problem]]:
    """The surveys by name, those with mistakes left out, and every problem of their files."""
    found: dict[str, Survey] = {}
    seen: dict[str, str] = {}
    problems: list[Problem] = []
    for path in workspace.files(FOLDER, ".yaml", ".yml"):
        shown = workspace.shown(path)
        document = read_document(path, shown)
        definition = build(SurveyFile, document)
        problems += document.problems
        if not re.fullmatch(NAME_PATTERN, path.stem):
            problems.append(Problem(shown, 0, f"{path.stem!r} is no survey name", "use a–z, 0–9, '-' and '_'"))
        if (first := seen.setdefault(path.stem, shown)) != shown:
            problems.append(
                Problem(shown, 0, f"duplicate name {path.stem!r} (also {first})", "rename one of the files")
            )
            continue
        if definition is not None:
            problems += _mistakes(definition, document)
            found[path.stem] = Survey(path.stem, definition)
    return found, problems


def _mistakes(definition: SurveyFile, document: Document) -> list[Problem]:
    """Questions that a page could not tell from its own fields."""
    return [
        document.problem(("questions", name), f"a question cannot be called {name!r}", "choose another name")
        for name in definition.questions
        if name in _TAKEN
    ]


def surveys_of(workspace: Workspace) -> Mapping[str, Survey]:
    """Every survey of the workspace.

    Raises:
        ConfigError: with every problem of their files.
    """
    found, problems = load_surveys(workspace)
    raise_if(problems)
    return found


def survey_of(workspace: Workspace, name: str) -> Survey:
    """The survey called `name`.

    Raises:
        NotFound: there is none; near misses are named.
        ConfigError: the files of surveys have mistakes.
    """
    known = surveys_of(workspace)
    if name not in known:
        raise NotFound(f"no survey {name!r}", hint=did_you_mean(name, known) or f"surveys are files of {FOLDER}/")
    return known[name]
