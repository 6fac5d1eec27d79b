"""What every command shares: the workspace it works in, and how it prints.

Results go to stdout, progress and remarks to stderr. `--json` prints one document with stable keys.
"""

import contextlib
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import click

from core.clock import Clock, SystemClock
from core.errors import EngineError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.database import Database
    from core.workspace import Workspace

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass
class Desk:
    """What a command works with, opened on first use: `ctx.obj` of every command (`@click.pass_obj`)."""

    folder: Path | None = None
    clock: Clock = SystemClock()  # noqa: RUF009  frozen, has no state

    @cached_property
    def workspace(self) -> "Workspace":
        from core.workspace import Workspace

        return Workspace.find(self.folder)

    @cached_property
    def database(self) -> "Database":
        from core.database import open_database

        return open_database(self.workspace)

    @cached_property
    def ledger(self) -> "Database":
        """The database, also while clarion.yaml has mistakes that do not concern it: these are remarked.

        For what must work in need: to look, and to stop what is under way.
        """
        from core.database import open_database
        from core.errors import ConfigError

        try:
            _ = self.workspace.settings
        except ConfigError as error:
            first = error.message.splitlines()[0]
            remark(f"remark: clarion.yaml has mistakes (`clarion validate` shows all): {first}")
            self.__dict__["database"] = open_database(self.workspace, in_need=True)
        return self.database

    @cached_property
    def zone(self) -> str:
        """The organisation's, by which times are shown; UTC while clarion.yaml has mistakes."""
        from core.errors import ConfigError

        try:
            return self.workspace.settings.organisation.zone
        except ConfigError:
            return "UTC"

    def close(self) -> None:
        """What was opened is closed. Repeat: safe."""
        if "database" in self.__dict__:
            self.database.dispose()


#: Said of what a dry run would have done.
DRY: Final = " (dry run: nothing was kept)"


@contextlib.contextmanager
def undone(desk: Desk, dry_run: bool) -> "Iterator[Connection]":
    """A transaction of the block's; with `dry_run` nothing of it is kept."""
    with desk.database.begin() as connection:
        savepoint = connection.begin_nested()
        yield connection
        if dry_run:
            savepoint.rollback()
        else:
            savepoint.commit()


def acting_user() -> str:
    """Who gives the command, for the audit: the login name, or the number of a user without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without an entry in passwd; OSError from Python 3.13 on
        return f"uid {os.getuid()}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the block writes is at `path`.

    Raises:
        EngineError: the file system refused.
    """
    try:
        yield
    except OSError as error:
        hint = "name a folder that exists and that you may write to"
        raise EngineError(f"{path} cannot be written: {error.strerror or error}", hint=hint) from None


def write_file(path: Path, content: str | bytes) -> None:
    """`path` holds `content`, texts in UTF-8. Repeat: safe, the file is replaced.

    Raises:
        EngineError: the file system refused.
    """
    with writing(path):
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def json_option(command: CommandT) -> CommandT:
    """Adds `--json`, given to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def print_json(document: Any) -> None:
    """`document` as JSON on stdout; decimals become numbers, instants ISO 8601 in UTC."""
    click.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2))


def _plain(value: object) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    raise TypeError(f"cannot print a {type(value).__name__} as JSON")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """`rows` as a table on stdout: numbers to the right, texts to the left. Prints `(none)` for no rows."""
    listed = list(rows)
    if not listed:
        click.echo("(none)")
        return
    names = list(columns or listed[0])
    cells = [[shown(row.get(name)) for name in names] for row in listed]
    numeric = [all(isinstance(row.get(name), int | float | Decimal | None) for row in listed) for name in names]
    heads = [name.replace("_", " ") for name in names]
    widths = [max(_width(text) for text in column) for column in zip(heads, *cells, strict=True)]
    for line in (heads, ["─" * width for width in widths], *cells):
        padded = (_padded(text, width, right) for text, width, right in zip(line, widths, numeric, strict=True))
        click.echo("  ".join(padded).rstrip())


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`: the number with its noun. `plural`: of nouns that do not take an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def in_zone(rows: Iterable[Mapping[str, Any]], zone: str) -> list[dict[str, Any]]:
    """The rows for a table, their instants as a clock in `zone` shows them, with its offset."""
    return [{name: local(value, zone) for name, value in row.items()} for row in rows]


def local(value: Any, zone: str) -> Any:
    """An instant as a clock in `zone` shows it, with its offset; every other value as it is."""
    from core.local_time import shown_in

    return shown_in(zone, value) if isinstance(value, datetime) else value


def shown(value: Any) -> str:
    """A value as tables show it: thousands grouped, instants to the minute."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M %Z")
    return str(value)


def _width(text: str) -> int:
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def headline(text: str) -> None:
    """One line on stdout that stands out on a terminal."""
    click.secho(text, bold=True)


def remark(text: str, *, faint: bool = False) -> None:
    """One line for the person at the keyboard, on stderr."""
    click.secho(text, err=True, dim=faint or None)


@contextlib.contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr while the block runs; yields a function that takes the steps done since.

    Off a terminal nothing is drawn.
    """
    if not sys.stderr.isatty():
        yield lambda _steps: None
        return
    with click.progressbar(length=length or 0, label=label, file=sys.stderr, show_pos=True) as bar:
        yield bar.update
