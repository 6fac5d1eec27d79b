"""One import from file to figures, in one transaction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

from core import advisory, audit
from core.database import Database, analyze, copy_rows
from core.people_lock import people_stay
from core.workspace import Workspace
from customers import metrics
from customers.importing.consents import ConsentImporter
from customers.importing.customers import CustomerImporter
from customers.importing.events import EventImporter
from customers.importing.fields import left_out, match_columns
from customers.importing.importer import Importer, Loaded, NewCustomers, Source
from customers.importing.purchases import PurchaseImporter
from customers.importing.refused import Refused
from customers.importing.rejects import write_rejects
from customers.importing.suppressions import SuppressionImporter
from customers.importing.values import Formats, Rejected
from customers.readers.tables import Table, open_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

KINDS: Final[Mapping[str, type[Importer]]] = {
    "customers": CustomerImporter,
    "purchases": PurchaseImporter,
    "events": EventImporter,
    "consents": ConsentImporter,
    "suppressions": SuppressionImporter,
}
#: Imports run one after the other: two that meet the same customers would wait for each other's rows.
_LOCK: Final = 0x434C4153
_TICK: Final = 2_000

#: Shows how far a piece of work is: (label, steps) → a block with a function that takes the steps done since.
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


def _unseen(_label: str, _length: int | None) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _steps: None)


@dataclass(frozen=True, slots=True)
class How:
    """What the person who imports says about the file; whatever is None is detected."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal["point", "comma"] | None = None
    dates: Literal["dmy", "mdy"] | None = None
    rejects: Path | None = None
    new_customers: NewCustomers = NewCustomers()  # noqa: RUF009  frozen, has no state
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """What an import did: `read` = created + updated + unchanged + rejected."""

    read: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    rejects_file: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Imported:
    """The figures, and what the person should know about how the file was understood."""

    counts: Counts
    remarks: tuple[str, ...]


def import_file(
    database: Database,
    workspace: Workspace,
    kind: str,
    path: Path,
    *,
    now: datetime,
    how: How | None = None,
    progress: Progress = _unseen,
    actor: str = audit.ITSELF,
) -> Imported:
    """The rows of `path` are in the database, metrics and statistics fresh; what could not be imported is in the
    rejects file. `kind` is one of KINDS.

    Atomic: yes. Repeat: safe, every row is unchanged then.

    Raises:
        UsageError: an option does not fit the file.
        ImportFailed: the file cannot be read or lacks a needed column.
    """
    started = perf_counter()
    how = how or How()
    table = open_table(path, encoding=how.encoding, delimiter=how.delimiter)
    importer = _importer(kind, table, workspace, how, now)
    with database.begin() as connection:
        savepoint = connection.begin_nested()
        with progress(f"Importing {kind}", table.detected.line_count) as tick:
            work = _Work(table, importer, tick)
            loaded = work.run(connection)
        is_wanted = not how.dry_run or how.rejects is not None
        rejects_file = write_rejects(table, work.reasons, how.rejects) if is_wanted else None
        counts = _counts(work, loaded, rejects_file, perf_counter() - started)
        if how.dry_run:
            savepoint.rollback()
        else:
            _finish(connection, importer, workspace, now)
            counts = _counts(work, loaded, rejects_file, perf_counter() - started)
            _log(connection, kind, table, counts, now)
            told = {"file": table.path.name, "read": counts.read, "created": counts.created, "updated": counts.updated}
            audit.record(connection, actor, f"import.{kind}", f"import:{kind}", at=now, **told)
            savepoint.commit()
    return Imported(counts, (table.form, *_unused(kind, importer), *loaded.remarks))


def _importer(kind: str, table: Table, workspace: Workspace, how: How, now: datetime) -> Importer:
    importer = KINDS[kind]
    columns = match_columns(table.header, importer.fields, how.mapping)
    settings = workspace.settings
    formats = Formats(settings.organisation.zone, how.decimal, how.dates)
    return importer(
        Source(table.path.name, columns, table.header, settings, workspace.secret, now, formats, how.new_customers)
    )


class _Work:
    """The rows of one file on their way into the database; `reasons` gathers the rejected ones."""

    def __init__(self, table: Table, importer: Importer, tick: Callable[[int], None]) -> None:
        self.table, self.importer, self.tick = table, importer, tick
        self.read = 0
        self.reasons: dict[int, str] = {}

    def run(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        advisory.hold(connection, _LOCK)
        people_stay(connection)
        self._refused = Refused.of(connection, self.importer)
        metrics.give_memory(connection)
        columns = ", ".join(f"{name} {kind}" for name, kind in self.importer.stage.items())
        connection.execute(text(f"CREATE TEMP TABLE staged ({columns}) ON COMMIT DROP"))
        copy_rows(connection, "staged", list(self.importer.stage), self._staged())
        connection.execute(text("ANALYZE staged"))
        loaded = self.importer.load(connection)
        self.reasons |= loaded.rejected
        return loaded

    def _staged(self) -> Iterator[Any]:
        for row in self.table.rows():
            self.read += 1
            if self.read % _TICK == 0:
                self.tick(_TICK)
            if row.fault:
                self.reasons[row.number] = row.fault
                continue
            try:
                yield self._refused.checked(self.importer.staged_row(row.number, row.cells))
            except Rejected as reason:
                self.reasons[row.number] = str(reason)
        self.tick(self.read % _TICK)


def _counts(work: _Work, loaded: Loaded, rejects_file: Path | None, seconds: float) -> Counts:
    unchanged = work.read - len(work.reasons) - loaded.created - loaded.updated
    return Counts(
        work.read, loaded.created, loaded.updated, unchanged, len(work.reasons),
        str(rejects_file) if rejects_file else None, round(seconds, 3),
    )  # fmt: skip


def _finish(connection: "Connection", importer: Importer, workspace: Workspace, now: datetime) -> None:
    analyze(connection, *importer.fills)
    if importer.changes_metrics:
        metrics.refresh(connection, workspace.settings.tiers, now=now)


def _log(connection: "Connection", kind: str, table: Table, counts: Counts, now: datetime) -> None:
    from sqlalchemy import insert

    from core.schema import import_run

    connection.execute(
        insert(import_run).values(
            kind=kind, file_name=table.path.name, encoding=table.detected.encoding,
            counts=asdict(counts), imported_at=now,
        )
    )  # fmt: skip


def _unused(kind: str, importer: Importer) -> tuple[str, ...]:
    columns = importer.source.columns
    if importer.keeps_attributes:
        return ()
    free = [field for field in importer.fields if field not in columns]
    return left_out((name for _, name in columns.attributes), f"{kind} have", free)
