"""Segment files: `segments/<name>.yaml`, a description and one expression."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints, TypeAdapter, ValidationError

from core.errors import Problem
from core.field_types import Name
from core.workspace import Workspace
from core.yaml_files import Section, build, read_document


def _as_expression(given: object) -> object:
    """YAML reads `true` without quotes as a truth value, which is an expression as well."""
    return str(given).lower() if isinstance(given, bool) else given


#: A rule in the language of segments, as files hold it.
Expression = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True), BeforeValidator(_as_expression)]


class SegmentFile(Section):
    """What a file in `segments/` may hold."""

    description: str = ""
    where: Expression


@dataclass(frozen=True, slots=True)
class Segment:
    """A saved rule. `where` keeps the file's line breaks and begins on `where_line` of `file`.

    `broken`: the file holds mistakes and there is no rule; the name is still known, so that what refers to it
    is not called a mistake as well.
    """

    name: str
    file: str
    where: str
    description: str = ""
    where_line: int = 1
    broken: bool = False


_name = TypeAdapter(Name)


def load_segments(workspace: Workspace) -> tuple[dict[str, Segment], list[Problem]]:
    """The segments by name, and every problem of their files. The expressions are not read yet."""
    found: dict[str, Segment] = {}
    problems: list[Problem] = []
    for path in workspace.files("segments", ".yaml", ".yml"):
        file = workspace.shown(path)
        if (first := found.get(path.stem)) is not None:
            message = f"a second segment named {path.stem!r} (the first is {first.file})"
            problems.append(Problem(file, 0, message, "rename one of the files"))
            continue
        found[path.stem], mistakes = _load(path, file)
        problems += mistakes
    return found, problems


def _load(path: Path, file: str) -> tuple[Segment, list[Problem]]:
    document = read_document(path, file)
    parts = build(SegmentFile, document)
    if document.hides(("where",)):
        hint = "write the value out: a rule is kept with the campaigns that use it"
        document.problems.append(document.problem(("where",), "a rule cannot read the environment", hint))
    problems = list(document.problems)
    try:
        _name.validate_python(path.stem)
    except ValidationError:
        expected = "expected lower-case letters, digits, '-' and '_'"
        problems.append(Problem(file, 0, f"the file's name is the segment's name (got {path.stem!r}, {expected})"))
    if parts is None or problems:
        return Segment(path.stem, file, "", broken=True), problems
    lines = path.read_text(encoding="utf-8").splitlines()
    where, line = _as_written(parts.where, lines, document.line(("where",)))
    return Segment(path.stem, file, where, parts.description, line), []


def _as_written(where: str, lines: list[str], key_line: int) -> tuple[str, int]:
    """The expression as its lines stand in the file, and the first of those lines.

    YAML folds lines; a caret helps only under a line the author recognises. Blanks mean nothing in an
    expression, so the file's own lines say the same. A text YAML changes otherwise (quoted, with comments)
    is kept as YAML read it.
    """
    inline = lines[key_line - 1].partition(":")[2].strip()
    first = key_line + 1 if inline[:1] in (">", "|") else key_line
    written = [inline, *lines[key_line:]] if first == key_line else lines[key_line:]
    wanted = "".join(where.split())
    taken = ""
    for count, line in enumerate(written, start=1):
        taken += "".join(line.split())
        if taken == wanted:
            return _dedented(written[:count], first)
        if not wanted.startswith(taken):
            break
    return where, key_line


def _dedented(lines: list[str], first: int) -> tuple[str, int]:
    skipped = next(index for index, line in enumerate(lines) if line.strip())
    body = lines[skipped:]
    indents = [len(line) - len(line.lstrip()) for line in body[1:] if line.strip()]
    own = len(body[0]) - len(body[0].lstrip())
    margin = min([own, *indents]) if own else 0
    return "\n".join(line[margin:].rstrip() for line in body), first + skipped
