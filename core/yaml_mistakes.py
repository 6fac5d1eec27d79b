"""What pydantic found, told to the person who wrote the file; private values are left out."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from core.errors import Problem
from core.names import did_you_mean
from core.units import Unfit, quoted

if TYPE_CHECKING:
    from core.yaml_files import Document

Place = tuple[str | int, ...]

_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
    "date_type": "a date such as 2026-12-01",
    "date_parsing": "a date such as 2026-12-01",
    "date_from_datetime_parsing": "a date such as 2026-12-01",
    "date_from_datetime_inexact": "a date such as 2026-12-01",
}
#: Expectations with a number, as pydantic gives it in the context of a mistake.
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
}
#: What a pattern of ours asks for, in words.
_PATTERNS: Final = {
    r"^[a-z0-9][a-z0-9_-]*$": "a name of a–z, 0–9, '-' and '_' that begins with a letter or digit",
    r"^[A-Z]{3}$": "three capital letters such as 'EUR'",
    r"^[^\x00-\x20\x7f]+$": "one word without blanks",
}
#: How pydantic ends the path of a mistake in the name of a section.
_KEY: Final = "[key]"
#: A name that is surely no password or address, and may be shown wherever it stands.
SIMPLE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
#: The name of a domain is none either: it stands in every mail.
_DOMAIN_NAME: Final = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}")


def described(detail: ErrorDetails, model: type[BaseModel], document: "Document") -> Problem:
    """The mistake pydantic found while it built `model`, in the words of the person who writes the file."""
    path = tuple(part for part in detail["loc"] if not str(part).startswith("function-"))
    kind = detail["type"]
    hidden = document.hides(path[:1])  # a name anywhere beside something private may be a misplaced password
    place = shown_place(path, hidden=hidden)
    if kind == "extra_forbidden":
        name, parent = shown_place(path[-1:], hidden=hidden), shown_place(path[:-1], hidden=True)
        hint = did_you_mean(str(path[-1])[:80], _known_keys(model, path[:-1]))
        return document.problem(path, f"unknown key {name!r}" + (f" in {parent}" if parent else ""), hint)
    if kind == "missing":
        return document.problem(path[:-1] or path, f"{place} is missing", f"add '{path[-1]}:'")
    if path[-1:] == (_KEY,):
        named, parent = shown_place(path[-2:-1], hidden=hidden), shown_place(path[:-2], hidden=True)
        return document.problem(path[:-1], f"the name {named!r} in {parent} is wrong ({_expectation(detail)})")
    if kind == "value_error":
        return document.problem(path, _unfit(detail, place, path, document))
    at, got = _found(document.content, path)
    expected = _expectation(detail)
    if document.hides(at):
        return document.problem(path, f"{place} is wrong ({expected})")
    is_choice = kind == "literal_error" and isinstance(got, str)
    hint = did_you_mean(got[:80], re.findall(r"'([^']+)'", expected)) if is_choice else ""
    return document.problem(path, f"{place} is wrong (got {quoted(got)}, {expected})", hint)


def is_consequence(detail: ErrorDetails, content: Any) -> bool:
    """Whether pydantic says this only because other mistakes were found: it counts a list's right entries alone."""
    if detail["type"] != "too_short":
        return False
    at, got = _found(content, detail["loc"])
    return at == detail["loc"] and isinstance(got, list) and len(got) >= detail["ctx"]["min_length"]


def _unfit(detail: ErrorDetails, place: str, path: Place, document: "Document") -> str:
    """The message of a validator of ours, without the value where that is private."""
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Unfit) and document.hides(path):
        return f"{place} is wrong (expected {error.expected})"
    if document.is_private(path):
        return f"{place} is wrong"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _expectation(detail: ErrorDetails) -> str:
    """`expected …`, without pydantic's own words for types; nothing of the value."""
    kind, context, message = detail["type"], detail.get("ctx", {}), detail["msg"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"expected {words.format(context[name])}"
    if kind == "string_pattern_mismatch":
        return f"expected {_PATTERNS.get(context['pattern'], 'a text that fits ' + context['pattern'])}"
    if kind in ("too_short", "string_too_short"):
        return f"expected at least {context['min_length']} {_noun(kind, context['min_length'])}"
    if kind in ("too_long", "string_too_long"):
        return f"expected at most {context['max_length']} {_noun(kind, context['max_length'])}"
    if isinstance(error := context.get("error"), Unfit):
        return f"expected {error.expected}"
    message = message.removeprefix("Value error, ").replace("Input should be ", "expected ", 1)
    return message[:1].lower() + message[1:]


def _noun(kind: str, number: int) -> str:
    one, several = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
    return one if number == 1 else several


def shown_place(path: Place, *, hidden: bool) -> str:
    """`path` as messages show it. A name within what is `hidden` may be a misplaced password: only plain ones show."""
    return ".".join(_part(part, hidden) for part in path)


def _part(part: str | int, hidden: bool) -> str:
    if isinstance(part, int) or SIMPLE_NAME.fullmatch(part) or _DOMAIN_NAME.fullmatch(part):
        return str(part)
    return "…" if hidden else quoted(part)[1:-1]


def _found(content: Any, path: Place) -> tuple[Place, Any]:
    """The part of `path` that the file has, and what stands there."""
    for count, part in enumerate(path):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return path[:count], content
    return path, content


def _known_keys(model: type[BaseModel], path: Place) -> list[str]:
    """The keys the section at `path` of `model` takes; all variants of a union together."""
    found: list[str] = []
    for candidate in _models_at([model], path):
        found += [info.alias or name for name, info in candidate.model_fields.items()]
    return found


def private_paths(annotation: Any, content: Any, path: Place = (), within: tuple[Any, ...] = ()) -> Iterator[Place]:
    """Where in `content` the fields are, or would be, that are declared with `repr=False`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if content is None and annotation in within:  # sections within themselves
            return
        for name, info in annotation.model_fields.items():
            place = (*path, info.alias or name)
            if info.repr:
                inner = content.get(place[-1]) if isinstance(content, dict) else None
                yield from private_paths(info.annotation, inner, place, (*within, annotation))
            else:
                yield place
        return
    parts = get_args(annotation)
    if get_origin(annotation) in (dict, list, tuple) and parts:
        entries = (
            content.items() if isinstance(content, dict) else enumerate(content if isinstance(content, list) else ())
        )
        for key, entry in (*entries, ("…", None)):
            yield from private_paths(parts[1 if get_origin(annotation) is dict else 0], entry, (*path, key), within)
        return
    for part in parts:
        yield from private_paths(part, content, path, within)


def _models_at(models: list[type[BaseModel]], path: Place) -> list[type[BaseModel]]:
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
