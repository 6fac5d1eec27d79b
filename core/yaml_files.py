"""YAML read with positions, so that every mistake can be reported at its line, all in one go.

What `${NAME}` brings in, and what stands in a field declared with `repr=False`, is shown in no message.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import Problem
from core.yaml_mistakes import SIMPLE_NAME, described, is_consequence, private_paths, shown_place
from core.yaml_syntax import NotYaml, checked_text, compose, scalar

Path_ = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class Section(BaseModel):
    """The base of everything written in a file: unknown keys are mistakes, values never change.

    A validator raises `Unfit` where its message names the value; the text of another ValueError names none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


@dataclass(slots=True)
class Document:
    """One YAML file as plain values, with the line of every key and value.

    `private`: the paths whose values no message shows. `judged`: the paths of values that are known to be wrong.
    `is_readable`: False when there is no content to judge.
    """

    file: str
    content: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    private: set[Path_] = field(default_factory=set)
    judged: set[Path_] = field(default_factory=set)
    is_readable: bool = True
    has_variables: bool = True  # `${NAME}` means the environment; else it is text

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest parent that has one; 1 for the whole file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1

    def names(self, section: str) -> frozenset[str]:
        """The entries of a section, right or wrong: what refers to a wrong one is not wrong by that."""
        entries = self.content.get(section) if isinstance(self.content, dict) else None
        return frozenset(entries) if isinstance(entries, dict) else frozenset()

    def problem(self, path: Path_, message: str, hint: str = "", excerpt: str = "") -> Problem:
        """A mistake at `path` in this file."""
        return Problem(self.file, self.line(path), message, hint, excerpt)

    def is_private(self, path: Path_) -> bool:
        """Whether `path` lies at or below a private one."""
        return any(path[:end] in self.private for end in range(1, len(path) + 1))

    def hides(self, path: Path_) -> bool:
        """Whether the value at `path` is private, or holds one that is."""
        return self.is_private(path) or any(private[: len(path)] == path for private in self.private)


def read_document(path: Path, shown_as: str, *, has_variables: bool = True) -> Document:
    """The file at `path`, with its syntax errors, duplicate keys and unset `${NAME}`s as problems."""
    try:
        return parse_document(path.read_text(encoding="utf-8"), Document(shown_as, has_variables=has_variables))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        return _unreadable(Document(shown_as), Problem(shown_as, line, "the file is not UTF-8", "save it as UTF-8"))
    except OSError as error:
        return _unreadable(Document(shown_as), Problem(shown_as, 0, f"the file cannot be read: {error.strerror}"))


def parse_document(text: str, document: Document) -> Document:
    """`text` parsed into `document`."""
    try:
        node = compose(text)
    except NotYaml as error:
        return _unreadable(document, Problem(document.file, error.line, f"YAML syntax: {error}", error.hint))
    if node is not None:
        document.content = _value(node, (), document)
    return document


def _unreadable(document: Document, problem: Problem) -> Document:
    document.problems.append(problem)
    document.is_readable = False
    return document


def _value(node: yaml.Node, path: Path_, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), document) for index, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if (mistake := _key_mistake(key_node)) is not None:
            document.problems.append(Problem(document.file, line, *mistake))
        elif key in found:
            name = f" {key!r}" if SIMPLE_NAME.fullmatch(key) else ""
            message = f"duplicate name{name} (first at line {document.line((*path, key))})"
            document.problems.append(Problem(document.file, line, message, "keep one of them"))
        else:
            document.lines[(*path, key)] = line
            found[key] = _value(value_node, (*path, key), document)
    return found


def _key_mistake(node: yaml.Node) -> tuple[str, str] | None:
    """What is wrong with a key, and a hint. A number or `true` as a key is taken as it is written."""
    if not isinstance(node, yaml.ScalarNode):
        return "a name is a text (got a list or a mapping)", "quote what begins with [ or {"
    if node.value == "<<" and node.style is None:
        return "merge keys (`<<`) are not read", "write the values out"
    try:
        checked_text(node.value)
    except ValueError as error:
        return str(error), "remove it"
    return None


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _scalar(node: yaml.Node, path: Path_, document: Document) -> Any:
    """The value, with `${NAME}` and `${NAME:-default}` read from the environment; None for one that is a mistake."""
    assert isinstance(node, yaml.ScalarNode)  # noqa: S101  there is no fourth kind of node
    try:
        value = scalar(node)
        return checked_text(_expanded(value, path, document)) if isinstance(value, str) else value
    except ValueError as error:
        place = shown_place(path, hidden=True)
        document.judged.add(path)
        document.problems.append(document.problem(path, f"{place}: {error}" if place else str(error)))
        return None


def _expanded(text: str, path: Path_, document: Document) -> str:
    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        document.private.add(path)
        value = os.environ.get(name, default)
        if value is None:
            document.judged.add(path)
            hint = f"set it before starting Clarion, or write ${{{name}:-default}}"
            document.problems.append(document.problem(path, f"the environment variable {name} is not set", hint))
            return ""
        return value

    return _VARIABLE.sub(replace, text) if document.has_variables else text


def build(model: type[ModelT], document: Document) -> ModelT | None:
    """`document` as a `model`; None when there are mistakes, with every one added to its problems."""
    if not document.is_readable:
        return None
    content = document.content if document.content is not None else {}
    if not isinstance(content, Mapping):
        document.problems.append(
            Problem(document.file, 1, f"got a {type(content).__name__}, expected 'name: value' lines")
        )
        return None
    document.private |= set(private_paths(model, content))
    try:
        built = model.model_validate(content)
    except ValidationError as error:
        details = [detail for detail in error.errors(include_url=False) if detail["loc"] not in document.judged]
        details = [detail for detail in details if not is_consequence(detail, content)]
        document.problems.extend(described(detail, model, document) for detail in details)
        return None
    return None if document.problems else built
