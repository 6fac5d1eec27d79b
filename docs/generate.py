"""docs/reference/ is written from the code: commands by click, settings and the API by pydantic, tables by the schema.

`python docs/generate.py` writes the pages; `--check` only says which are stale, and exits 1 if any is.
"""

import argparse
import inspect
import json
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from campaigns import definition
from campaigns.sequences.definition import SequenceFile
from core import field_types, settings, transport_settings, units
from core.schema import metadata
from core.schema_code import FUNCTIONS, TRIGGERS, VIEWS
from segments.definition import SegmentFile

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by `make docs` from the code; edit the code instead. -->"
_WIDTH = 96


# --- commands --------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Every command with its help, in the order of `clarion --help`."""
    from cli import clarion

    parts = [
        _NOTE,
        "# Commands",
        "`clarion [--workspace DIR] COMMAND …`; results go to stdout, remarks to stderr.",
        "A command that ends in an error prints no document, with `--json` either: the error is on stderr.",
    ]
    parts.append("Exit status: 0 done, 1 a mistake that is named, 2 wrong usage or, for `plan`, changes are pending.")
    for path, context in _walk(clarion, "clarion", None):
        level = "#" * len(path.split())
        parts += [f"{level} {path}"] if context.parent else []
        parts += [f"```text\n{context.get_help().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _walk(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, click.Context]]:
    """The command and every command inside it, each with its path and a context that knows its parents."""
    context = click.Context(
        command, parent, name, terminal_width=_WIDTH, max_content_width=_WIDTH, **command.context_settings
    )
    yield context.command_path, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is None:
                raise LookupError(f"cli.COMMANDS names {inner!r}, which is not a click command")
            if not found.hidden:
                yield from _walk(found, inner, context)


# --- settings --------------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every key of the files of a workspace, section by section."""
    parts = [
        _NOTE,
        "# Settings",
        "What the files of a workspace may hold. Unknown keys are mistakes; `${NAME}` reads the environment, "
        "`${NAME:-default}` too, with a default for a variable that is not set.",
    ]
    for title, model in FILES.items():
        parts += _sections(title, model, seen=set())
    return "\n\n".join(parts) + "\n"


FILES: dict[str, type[BaseModel]] = {
    "clarion.yaml": settings.Settings,
    "segments/NAME.yaml": SegmentFile,
    "campaigns/NAME.yaml": definition.CampaignFile,
    "campaigns/NAME.yaml of kind sequence": SequenceFile,
}


def _sections(title: str, model: type[BaseModel], seen: set[type[BaseModel]]) -> list[str]:
    """The table of `model`, followed by those of the sections inside it."""
    seen.add(model)
    remarks = _remarks(model)
    rows = ["| key | takes | default | remark |", "|---|---|---|---|"]
    inner: list[str] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        rows.append(f"| `{key}` | {_takes(field)} | {_default(field)} | {_cell(remarks.get(name, ''))} |")
        for section in _models_in(field.annotation):
            if section not in seen:
                prefix = "" if title.endswith(".yaml") else f"{title}."
                inner += _sections(f"{prefix}{key}" + (".NAME" if _is_named(field) else ""), section, seen)
    level = "##" if title.endswith(".yaml") else "###"
    return [f"{level} `{title}`", inspect.cleandoc(model.__doc__ or ""), "\n".join(rows), *inner]


def _remarks(model: type[BaseModel]) -> dict[str, str]:
    """The comment at the end of each field's line."""
    found: dict[str, str] = {}
    name = ""
    for token in tokenize.generate_tokens(StringIO(inspect.getsource(model)).readline):
        if token.type == tokenize.NAME and token.start[1] == 4:
            name = token.string
        elif token.type == tokenize.COMMENT and token.start[1] > 4:
            found[name] = token.string.removeprefix("#").strip().replace("None:", "absent:")
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _is_named(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _takes(field: FieldInfo) -> str:
    """The kind of value in the words of the person who writes the file."""
    if _is_named(field) and any(True for _ in _models_in(field.annotation)):
        return "sections by name"
    if any(True for _ in _models_in(field.annotation)):
        return "a list of sections" if get_origin(field.annotation) is list else "a section"
    if _is_named(field) and (kept := get_args(field.annotation)[1]) is not str:
        return _BY_NAME.get(_plain(kept), "texts by name")
    if choices := list(_choices(field.annotation)):
        return " or ".join(f"`{choice}`" for choice in choices)
    kinds = {*_leaves(field.annotation), *(getattr(part, "func", None) for part in _validators(field))}
    return next((words for kind, words in _WORDS.items() if kind in kinds), "a text")


#: What a mapping of names holds, when that is neither sections nor texts.
_BY_NAME: Final = {dict: "mappings by name", tuple: "lists by name", list: "lists by name", frozenset: "lists by name"}


def _plain(annotation: Any) -> Any:
    """The type without the rules that its values obey."""
    origin = get_origin(annotation)
    return _plain(get_args(annotation)[0]) if origin is Annotated else origin or annotation


def _choices(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for argument in get_args(annotation):
            yield from _choices(argument)


def _leaves(annotation: Any) -> Iterator[Any]:
    yield get_origin(annotation) or annotation
    for argument in get_args(annotation):
        yield from _leaves(argument)


def _validators(field: FieldInfo) -> Iterator[Any]:
    """What checks the value: kept beside the field, or inside an optional annotation."""
    yield from field.metadata
    for part in get_args(field.annotation):
        yield from getattr(part, "__metadata__", ())


#: How a kind of value is described; the first that fits counts, so the narrow ones come first.
_WORDS: dict[Any, str] = {
    units.parse_duration: "a duration, `90m`, `14d`",
    units.parse_share: "a share, `10%` or `0.1`",
    units.parse_size: "a size, `500 KB`, `5 MB`",
    units.parse_zone: "an IANA time zone",
    units.parse_cron: "a schedule of five fields",
    units.parse_wall_time: "a local date and time, `2026-12-01T09:00`",
    definition._zone_or_recipient: "an IANA time zone, or `recipient`",
    field_types._email: "an e-mail address",
    transport_settings.parse_rate: "a rate, `100/s`, `5000/h`",
    field_types._http_url: "an `http(s)://` address",
    transport_settings._smtp_url: "an `smtp(s)://` address",
    list: "a list",
    tuple: "a list",
    frozenset: "a list",
    dict: "texts by name",
    bool: "`true` or `false`",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", (), [], {}) or isinstance(value, BaseModel):
        return ""
    shown = _in_file(value)
    return f"`{shown}`"


def _in_file(value: Any) -> str:
    """A default as the file would hold it."""
    if isinstance(value, timedelta):
        return units.format_duration(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_in_file, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- tables ----------------------------------------------------------------------------------------------


def tables_page() -> str:
    """Every table, view, function and trigger of the database."""
    parts = [_NOTE, "# Tables", "What the database holds, for people who ask it questions of their own."]
    parts += [_table(table) for table in sorted(metadata.tables.values(), key=lambda table: table.name)]
    for name, query in VIEWS.items():
        parts.append(f"## `{name}` (view)\n\n```sql\n{inspect.cleandoc(query)}\n```")
    parts += [_told("Functions", FUNCTIONS), _told("Triggers", TRIGGERS)]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rows = ["| column | type | | meaning |", "|---|---|---|---|"]
    rows += [_column(column) for column in table.columns]
    return "\n\n".join(filter(None, [f"## `{table.name}`", _sentence(table.comment or ""), "\n".join(rows)]))


def _told(heading: str, purposes: Mapping[str, str]) -> str:
    return "\n".join([f"## {heading}", "", *(f"- `{name}`: {purpose}" for name, purpose in purposes.items())])


def _column(column: Column[Any]) -> str:
    kind = str(column.type.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    notes = ["key"] if column.primary_key else [] if column.nullable else ["not null"]
    notes += [f"→ `{key.column.table.name}`" for key in column.foreign_keys]
    return f"| `{column.name}` | {kind.lower()} | {', '.join(notes)} | {_cell(column.comment or '')} |"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- the program -----------------------------------------------------------------------------------------


def openapi_page() -> str:
    """The description of the HTTP API, for programs."""
    from web.api.openapi import description
    from web.api.routes import DESCRIBED

    return json.dumps(description(DESCRIBED), indent=1, ensure_ascii=False) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "tables.md": tables_page,
    "openapi.json": openapi_page,
}


def stale_pages() -> dict[str, str]:
    """The pages that differ from what the code says now: name → what it should be."""
    made = {name: make() for name, make in PAGES.items()}
    return {name: text for name, text in made.items() if _read(REFERENCE / name) != text}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = stale_pages()
    for name, text in stale.items():
        if check:
            print(f"docs/reference/{name} is stale: run `make docs`", file=sys.stderr)
        else:
            (REFERENCE / name).write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
