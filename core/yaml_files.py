"""YAML read with positions, so that every mistake can be reported at its line, all in one go.

Only YAML 1.2's plain values are resolved: `yes`, `on` and `12:30` stay texts, dates stay texts.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from core.errors import Problem
from core.names import did_you_mean

Path_ = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class Section(BaseModel):
    """The base of everything written in a file: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's resolution of plain scalars."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(slots=True)
class Document:
    """One YAML file as plain values, with the line of every key and value."""

    file: str
    content: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest parent that has one; 1 for the whole file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1

    def problem(self, path: Path_, message: str, hint: str = "", excerpt: str = "") -> Problem:
        """A mistake at `path` in this file."""
        return Problem(self.file, self.line(path), message, hint, excerpt)


def read_document(path: Path, shown_as: str) -> Document:
    """The file at `path`, with its syntax errors, duplicate keys and unset `${NAME}`s as problems."""
    document = Document(shown_as)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        document.problems.append(Problem(shown_as, line, "the file is not UTF-8", "save it as UTF-8"))
        return document
    return parse_document(text, document)


def parse_document(text: str, document: Document) -> Document:
    """`text` parsed into `document`."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        document.problems.append(_syntax_problem(document.file, error))
        return document
    if node is not None:
        document.content = _value(node, (), document)
    return document


def _syntax_problem(file: str, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    message = f"YAML syntax: {what}" + (f" ({context})" if context else "")
    hint = "indentation is two blanks a level; quote a text that holds ': ' or starts with one of @ % * & ! | > [ {"
    return Problem(file, mark.line + 1 if mark else 0, message, hint)


def _value(node: yaml.Node, path: Path_, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), document) for index, item in enumerate(node.value)]
    value = _scalar(node)
    return _expanded(value, path, document) if isinstance(value, str) else value


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(_scalar(key_node)) if isinstance(key_node, yaml.ScalarNode) else "?"
        if key in found:
            line = key_node.start_mark.line + 1
            first = document.line((*path, key))
            document.problems.append(
                Problem(document.file, line, f"duplicate name {key!r} (first at line {first})", "keep one of them")
            )
            continue
        document.lines[(*path, key)] = key_node.start_mark.line + 1
        found[key] = _value(value_node, (*path, key), document)
    return found


def _scalar(node: yaml.Node) -> Any:
    if node.tag.endswith(":int"):
        return int(node.value)
    if node.tag.endswith(":float"):
        return float(node.value)
    if node.tag.endswith(":bool"):
        return node.value.lower() == "true"
    return None if node.tag.endswith(":null") else node.value


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expanded(text: str, path: Path_, document: Document) -> str:
    """`text` with `${NAME}` and `${NAME:-default}` read from the environment."""

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        value = os.environ.get(name, default)
        if value is None:
            hint = f"set it before starting Clarion, or write ${{{name}:-default}}"
            document.problems.append(document.problem(path, f"the environment variable {name} is not set", hint))
            return ""
        return value

    return _VARIABLE.sub(replace, text)


def build(model: type[ModelT], document: Document) -> ModelT | None:
    """`document` as a `model`; None when it cannot be built, with every reason added to its problems."""
    if any(problem.message.startswith("YAML syntax") for problem in document.problems):
        return None
    content = document.content if document.content is not None else {}
    if not isinstance(content, Mapping):
        document.problems.append(
            Problem(document.file, 1, f"got a {type(content).__name__}, expected 'name: value' lines")
        )
        return None
    try:
        built = model.model_validate(content)
    except ValidationError as error:
        document.problems.extend(_described(detail, model, document) for detail in error.errors(include_url=False))
        return None
    return built


_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
}


def _described(detail: ErrorDetails, model: type[BaseModel], document: Document) -> Problem:
    path = tuple(part for part in detail["loc"] if not str(part).startswith("function-"))
    place = ".".join(str(part) for part in path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        parent = path[:-1]
        return document.problem(
            path,
            f"unknown key {path[-1]!r}" + (f" in {'.'.join(map(str, parent))}" if parent else ""),
            did_you_mean(str(path[-1]), _known_keys(model, parent)),
        )
    if kind == "missing":
        return document.problem(path[:-1] or path, f"{place} is missing", f"add '{path[-1]}:'")
    got = _at(document.content, path)
    if kind in _EXPECTED:
        return document.problem(path, f"{place} is wrong (got {got!r}, expected {_EXPECTED[kind]})")
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "value_error" or "got " in message:
        return document.problem(path, f"{place}: {message}" if place else message)
    hint = ""
    if kind == "literal_error" and isinstance(got, str):
        hint = did_you_mean(got, re.findall(r"'([^']+)'", message))
    return document.problem(path, f"{place} is wrong (got {got!r}, {message[:1].lower()}{message[1:]})", hint)


def _at(content: Any, path: Path_) -> Any:
    for part in path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return content
    return content


def _known_keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys the section at `path` of `model` takes; all variants of a union together."""
    found: list[str] = []
    for candidate in _models_at([model], path):
        found += [info.alias or name for name, info in candidate.model_fields.items()]
    return found


def _models_at(models: list[type[BaseModel]], path: Path_) -> list[type[BaseModel]]:
    for part in path:
        following: list[type[BaseModel]] = []
        for model in models:
            info = model.model_fields.get(str(part))
            if info is not None:
                following += _models_in(info.annotation)
        models = following or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
