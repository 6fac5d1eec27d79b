"""The part of YAML that files are written in: mappings, lists, texts and YAML 1.2's plain values.

`yes`, `on` and `12:30` stay texts, dates stay texts. Anchors, aliases, tags and merge keys are refused: what stands
at a line is what it says, and no file grows when it is read.
"""

import math
import re
from typing import Final

import yaml

_PLAIN: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)", "-+0123456789."),
)
_MAX_DEPTH: Final = 50
_MAX_DIGITS: Final = 30
_SIGNS: Final = {"*": "aliases", "&": "anchors", "!": "tags"}
_USUAL_HINT: Final = (
    "indentation is two blanks a level; quote a text that holds ': ' or starts with one of @ % * & ! | > [ {"
)
#: What no database stores and no terminal prints: NUL, and halves of surrogate pairs.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class NotYaml(Exception):
    """The text cannot be read as YAML. The message holds none of its values: one of them may be a password."""

    def __init__(self, message: str, line: int, hint: str = _USUAL_HINT) -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


class _Loader(yaml.SafeLoader):
    """SafeLoader with fewer kinds of nodes, and a limit to how deep they lie in each other."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 0
        if (sign := _sign(event)) is not None:
            raise NotYaml(f"a text that starts with {sign!r} needs quotes ({_SIGNS[sign]} are not read)", line)
        if self.depth == _MAX_DEPTH:
            raise NotYaml(f"nested too deeply (expected at most {_MAX_DEPTH} levels)", line)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _sign(event: yaml.Event) -> str | None:
    if isinstance(event, yaml.AliasEvent):
        return "*"
    if getattr(event, "anchor", None) is not None:
        return "&"
    return "!" if getattr(event, "tag", None) is not None else None


def compose(text: str) -> yaml.Node | None:
    """The tree of `text`; None for a file without content.

    Raises:
        NotYaml: it cannot be read, or holds what is not read here.
    """
    line = 1
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            line = loader.line + 1
            loader.dispose()
    except yaml.reader.ReaderError as error:
        where = text.count("\n", 0, error.position) + 1
        raise NotYaml(f"the character U+{error.character:04X} is not allowed", where, "remove it") from None
    except yaml.MarkedYAMLError as error:
        raise _told(error, line) from None
    except (ValueError, OverflowError):  # an escape beyond the last character, a version of 5,000 digits
        raise NotYaml("a number or an escape is out of range", line) from None


def _told(error: yaml.MarkedYAMLError, line: int) -> NotYaml:
    mark = error.problem_mark
    what = error.problem or "it cannot be read"
    if "tag handle" in what:
        what = "a text that starts with '!' needs quotes (tags are not read)"
    context = f" ({error.context})" if error.context else ""
    return NotYaml(f"{what}{context}", mark.line + 1 if mark else line)


def scalar(node: yaml.ScalarNode) -> object:
    """The value of a plain or quoted scalar: a text, a number, true, false or None.

    Raises:
        ValueError: a number is out of range, or a text cannot be stored.
    """
    kind = node.tag.rpartition(":")[2]
    if kind == "int":
        return _whole(node.value)
    if kind == "float":
        return _number(node.value)
    if kind == "bool":
        return node.value.lower() == "true"
    return None if kind == "null" else checked_text(node.value)


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number is too long (got {len(text):,} digits, expected at most {_MAX_DIGITS})")
    return int(text)


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("the number is too large")
    return number


def checked_text(text: str) -> str:
    """`text`, which can be stored and printed.

    Raises:
        ValueError: it holds a character that cannot.
    """
    if (found := _UNSTORABLE.search(text)) is not None:
        raise ValueError(f"the text holds U+{ord(found.group()):04X}, which cannot be stored")
    return text
