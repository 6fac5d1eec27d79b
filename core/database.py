"""PostgreSQL: one engine a process, transactions, bulk copies.

Every connection is opened here, and reckons in UTC: days of an interval are 24 hours long, and a time comes back as it
was stored, whatever zone the server, the role or the environment names.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from core import embedded
from core.errors import ConfigError, ServiceError
from core.ids import keyed_hash
from core.workspace import Workspace

if TYPE_CHECKING:
    from psycopg import Connection as PlainConnection
    from psycopg import Cursor
    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError


class Transactions(Protocol):
    """What gives transactions: a database, or the lead of a scheduler, whose transactions are fenced."""

    def begin(self) -> "contextlib.AbstractContextManager[Connection]": ...

    def link(self) -> "Connection": ...


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database that holds Clarion's schema. `url` is a libpq URL (`postgresql://…`).

    `process` says to the server what is connected (`worker`, `scheduler`, …): see `campaigns.presence`.
    """

    url: str
    process: str = "command"

    @cached_property
    def engine(self) -> "Engine":
        """The process's engine. Call `dispose` after a fork."""
        return _engine(
            self.url, f"clarion {self.process}", pool_size=5, max_overflow=10, pool_pre_ping=True,
            # The connection that was used last knows the statements. A worker sends each of a few dozen once a batch:
            # prepared from the second time on, they are not planned anew for ten batches.
            pool_use_lifo=True,
            connect_args={"prepare_threshold": 1} if self.process == "worker" else None,
        )  # fmt: skip

    @contextlib.contextmanager
    def begin(self) -> "Iterator[Connection]":
        """A transaction: committed on leaving, rolled back on an error.

        Raises:
            ServiceError: the server cannot be reached.
        """
        from sqlalchemy.exc import DBAPIError

        try:
            connection = self.engine.connect()
        except DBAPIError as error:
            raise _unreachable(error, self.url) from None
        with connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def rehearsal(self) -> "Iterator[Connection]":
        """A transaction that sees the database as it is at one instant, and is rolled back on leaving, come what may.

        On a connection of its own: no statement is prepared that was planned for another table of the same name.

        Raises:
            ServiceError: the server cannot be reached.
        """
        from sqlalchemy import NullPool
        from sqlalchemy.exc import DBAPIError

        engine = _engine(
            self.url, "clarion rehearsal", poolclass=NullPool, isolation_level="REPEATABLE READ",
            connect_args={"prepare_threshold": None},
        )  # fmt: skip
        try:
            connection = engine.connect()
        except DBAPIError as error:
            raise _unreachable(error, self.url) from None
        with connection, connection.begin() as transaction:
            try:
                yield connection
            finally:
                if transaction.is_active and not connection.invalidated:
                    transaction.rollback()

    def link(self) -> "Connection":
        """A connection to keep, on which every statement is a transaction of its own. The caller closes it.

        Raises:
            ServiceError: the server cannot be reached.
        """
        from sqlalchemy.exc import DBAPIError

        try:
            return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except DBAPIError as error:
            raise _unreachable(error, self.url) from None

    def dispose(self) -> None:
        """Every pooled connection is closed; the next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()


def plain_link(url: str, name: str, **options: Any) -> "PlainConnection[tuple[Any, ...]]":
    """A connection to keep without SQLAlchemy, on which every statement is a transaction of its own.

    `name`: the server knows it by this. `options`: of libpq, such as `connect_timeout`.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
    """
    import psycopg

    connection = psycopg.connect(url, autocommit=True, application_name=name, **options)
    _reckon_in_utc(connection)
    return connection


def _engine(url: str, name: str, *, connect_args: Mapping[str, Any] | None = None, **options: Any) -> "Engine":
    from sqlalchemy import create_engine, event

    engine = create_engine(
        _sqlalchemy_url(url),
        hide_parameters=True,  # a traceback never quotes an address
        json_deserializer=_from_json,
        connect_args={"application_name": name, **(connect_args or {})},
        **options,
    )
    event.listen(engine, "connect", lambda connection, _: _reckon_in_utc(connection))
    return engine


def _reckon_in_utc(connection: "PlainConnection[Any]") -> None:
    """Said after connecting: as a start-up option it would replace those of the URL, and PGTZ would outrank it."""
    before, connection.autocommit = connection.autocommit, True  # a rollback does not take it back
    connection.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = before


def is_gone(error: "DBAPIError") -> bool:
    """Whether the server went away, or another one took its place (SQLSTATE 25006: this one no longer writes)."""
    from sqlalchemy.exc import OperationalError

    is_demoted = getattr(error.orig, "sqlstate", None) == "25006"
    return error.connection_invalidated or is_demoted or isinstance(error, OperationalError)


_decode: Final = json.JSONDecoder().raw_decode


def _from_json(content: bytes | str) -> Any:
    """JSON of the database, which is UTF-8 and begins at once: looking for both takes `json` half of its time."""
    return _decode(str(content, "utf-8") if isinstance(content, bytes) else content)[0]


def _sqlalchemy_url(url: str) -> str:
    return "postgresql+psycopg://" + url.split("://", 1)[1]


def _unreachable(error: Exception, url: str) -> ServiceError:
    lines = str(getattr(error, "orig", error)).strip().splitlines()
    reason = _without_password(lines[0], url) if lines else "no reason was given"
    return ServiceError(f"PostgreSQL cannot be reached: {reason}", hint="check `database:` in clarion.yaml")


def _without_password(text: str, url: str) -> str:
    """`text`, in which libpq may have quoted the address."""
    password = urlsplit(url).password or ""
    for spelling in filter(None, (url, password, unquote(password))):
        text = text.replace(spelling, "…")
    return text


def copy_rows(connection: "Connection", table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """`rows` are in `table`, by COPY; returns their number. Atomic with the connection's transaction."""
    from psycopg import sql

    count = 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    cursor = cast("Cursor[Any]", connection.connection.cursor())
    with cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def analyze(connection: "Connection", *tables: str) -> None:
    """The planner's statistics of `tables` are fresh.

    Needed after bulk loads: without it a claim costs ten times as much.
    """
    from sqlalchemy import text

    for table in tables:
        connection.execute(text(f'ANALYZE "{table}"'))


def open_database(workspace: Workspace, process: str = "command", *, in_need: bool = False) -> Database:
    """The workspace's database, started when it is the embedded one, with the schema in place.

    `in_need`: also while `clarion.yaml` has mistakes that do not concern it. Repeat: safe.

    Raises:
        ServiceError: it cannot be started or reached, or an external one lacks the schema.
        ConfigError: it was made with another secret, or the settings have mistakes.
    """
    from core.migrate import ensure_schema

    named = workspace.essentials.database if in_need else workspace.settings.database
    is_embedded = named == "embedded"
    url = embedded.ensure_postgres(workspace) if is_embedded else named
    database = Database(url, process)
    try:
        ensure_schema(database, may_upgrade=is_embedded)
        _check_secret(database, workspace.secret, is_embedded=is_embedded)
    except Exception:
        database.dispose()
        raise
    return database


_RESTORE = "restore the secret (CLARION_SECRET or .clarion/secret) this installation began with"
#: The data of an embedded database may outlive its folder, and a new workspace may stand at the same path.
_OR_ERASE = "; if it belonged to a workspace that stood here before and is gone for good: `clarion down --erase`"


def _check_secret(database: Database, secret: bytes, *, is_embedded: bool) -> None:
    from sqlalchemy import select
    from sqlalchemy.dialects.postgresql import insert

    from core.schema import installation

    check = keyed_hash(secret, "secret-check", b"clarion").hex()
    with database.begin() as connection:
        stored = connection.execute(select(installation.c.secret_check)).scalar()
        if stored is None:
            connection.execute(insert(installation).values(secret_check=check).on_conflict_do_nothing())
        elif stored != check:
            raise ConfigError(
                "this database was made with another secret: opt-outs and links would no longer match",
                hint=_RESTORE + (_OR_ERASE if is_embedded else ""),
            )
