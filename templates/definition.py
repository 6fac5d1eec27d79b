"""The files under `templates/`: a front matter that says what the mailing is, and the body."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, StringConstraints, ValidationError

from core.errors import Problem
from core.units import Unfit, quoted
from core.workspace import Workspace
from core.yaml_files import Document, Section, build, parse_document

SUFFIXES: Final = (".html", ".mjml", ".md", ".txt")
FOLDER: Final = "templates"
_FRONT = re.compile(r"\A(?:\ufeff)?---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
#: Jinja's tokens, and `${` which would read the environment, may stand unquoted in the front matter.
_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\$\{", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One file; `name` is its path below `templates/`."""

    name: str
    text: str

    @property
    def file(self) -> str:
        """The file as messages show it."""
        return f"{FOLDER}/{self.name}"

    @property
    def suffix(self) -> str:
        """The format: `.html`, `.mjml`, `.md` or `.txt`."""
        return PurePosixPath(self.name).suffix


class AttachedFile(Section):
    """One file of `attachments`: its path below `templates/`, and the name its recipients see."""

    file: Annotated[str, StringConstraints(min_length=1)]
    name: Annotated[str, StringConstraints(min_length=1)] | None = None  # None: that of the file


def _attached(value: object) -> object:
    if isinstance(value, str):
        return {"file": value}
    if isinstance(value, dict):
        return value
    raise Unfit(quoted(value), "a file such as 'files/terms.pdf', or {file: …, name: …}")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Attached = Annotated[AttachedFile, BeforeValidator(_attached)]


class FrontMatter(Section):
    """What stands between the two `---` lines."""

    subject: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)] | None = None
    preheader: str | None = None
    layout: str | None = None
    text: str | None = None
    attachments: Annotated[tuple[Attached, ...], BeforeValidator(_listed)] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """A template taken apart; `body_line` is the line of the file at which the body begins.

    `attachment_lines`: where each of its attachments is named.
    """

    source: TemplateSource
    front: FrontMatter
    lines: Mapping[str, int]
    attachment_lines: tuple[int, ...]
    has_front: bool
    body: str
    body_line: int


def load_templates(workspace: Workspace) -> tuple[dict[str, TemplateSource], list[Problem]]:
    """Every template of the workspace by name, and the files that cannot be read."""
    found: dict[str, TemplateSource] = {}
    problems: list[Problem] = []
    for path in workspace.files(FOLDER, *SUFFIXES):
        name = path.relative_to(workspace.root / FOLDER).as_posix()
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            problems.append(Problem(workspace.shown(path), line, "the file is not UTF-8", "save it as UTF-8"))
            continue
        found[name] = TemplateSource(name, text)
    return found, problems


def parse_definition(source: TemplateSource) -> tuple[Definition, list[Problem]]:
    """`source` taken apart; what is wrong in its front matter counts as absent."""
    text = source.text.replace("\r\n", "\n").replace("\r", "\n")
    match = _FRONT.match(text)
    if match is None:
        problems = []
        if text.startswith("---\n"):
            hint = "close the front matter with a second '---' line"
            problems.append(Problem(source.file, 1, "the front matter is not closed", hint))
        return Definition(source, FrontMatter(), {}, (), False, text, 1), problems
    front, document = _read_front(match.group(1), source.file)
    lines = {name: document.line((name,)) for name in FrontMatter.model_fields}
    body_line = match.group(0).count("\n") + 1
    front = front or _what_is_right(document.content)
    attached = tuple(document.line(("attachments", index)) for index in range(len(front.attachments)))
    return Definition(source, front, lines, attached, True, text[match.end() :], body_line), document.problems


def _what_is_right(content: object) -> FrontMatter:
    """The entries of the front matter that can be read by themselves."""
    good: dict[str, Any] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        try:
            FrontMatter.model_validate({name: value})
        except ValidationError:
            continue
        good[name] = value
    return FrontMatter.model_validate(good)


def _read_front(text: str, file: str) -> tuple[FrontMatter | None, Document]:
    codes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        codes.append(match.group())
        return f"\ue000{len(codes) - 1}\ue001" + "\n" * match.group().count("\n")

    def shown(value: Any) -> Any:
        if isinstance(value, list):
            return [shown(item) for item in value]
        if isinstance(value, dict):
            return {key: shown(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        return re.sub("\ue000(\\d+)\ue001", lambda match: codes[int(match.group(1))], value)

    document = parse_document("\n" + _CODE.sub(hide, text), Document(file))  # the `---` line is line 1
    if isinstance(document.content, dict):
        document.content = {key: shown(value) for key, value in document.content.items()}
    return build(FrontMatter, document), document
