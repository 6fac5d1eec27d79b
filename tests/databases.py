"""Databases with the schema, for one holder at a time: made from a template, emptied when given back, used again."""

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

#: So often one is used again. What temporary tables leave in its catalogue makes it slower by and by.
_USES = 50
#: What a change of the schema or of the database's settings changes, and nothing else does.
_SCHEMA = """
    SELECT ARRAY(SELECT concat(oid, relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid),
           ARRAY(SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY nspname),
           (SELECT max(xmin::text::bigint) FROM pg_attribute
            WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)),
           (SELECT concat(count(*), ' ', max(xmin::text::bigint)) FROM pg_constraint),
           (SELECT concat(count(*), ' ', max(xmin::text::bigint)) FROM pg_trigger),
           (SELECT concat(count(*), ' ', max(xmin::text::bigint)) FROM pg_proc),
           (SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
            WHERE d.datname = current_database())
"""
#: Tables that hold a row or held one: what was rolled back lies there too.
_USED = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0 ORDER BY oid
"""
_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
#: What the planner knows and the next numbers are those of tables nobody has touched.
_FORGET = """
    DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace);
    UPDATE pg_class SET relpages = 0, reltuples = CASE relkind WHEN 'r' THEN -1 ELSE 0 END, relallvisible = 0
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND reltuples >= 0 AND relpages > 0;
    SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence
    WHERE pg_sequence_last_value(seqrelid::regclass) IS NOT NULL
"""


@dataclass
class Databases:
    """The databases of one test run on one server, which listens in the folder `sockets`."""

    sockets: Path
    template: str
    _spare: list[tuple[str, int]] = field(default_factory=list)
    _uses: dict[str, int] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        with self._connected(self.template) as connection:
            self._schema = connection.execute(_SCHEMA).fetchone()
            self._rows = {name: _rows(connection, name) for (name,) in connection.execute(_USED).fetchall()}

    def take(self) -> str:
        """The URL of an empty database, which nobody has had before under this name."""
        name = f"t{os.getpid()}_{next(self._numbers)}"
        with self._connected("postgres") as connection:
            if self._spare:
                former, uses = self._spare.pop()
                connection.execute(f"ALTER DATABASE {former} RENAME TO {name}")
            else:
                uses = 0
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        self._uses[name] = uses + 1
        return self._url(name)

    def give_back(self, url: str) -> None:
        """The holder is done with it; whatever is still connected to it is cut off."""
        name = url.split("@/")[1].split("?")[0]
        uses = self._uses.pop(name)
        if uses < _USES and self._emptied(name):
            self._spare.append((name, uses))
            return
        with self._connected("postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _emptied(self, name: str) -> bool:
        """It is as it was made; False: its schema is another one now."""
        with self._connected(name) as connection:
            connection.execute(_END_OTHERS)
            if connection.execute(_SCHEMA).fetchone() != self._schema:
                return False
            used = [table for (table,) in connection.execute(_USED).fetchall()]
            connection.execute("SET session_replication_role = replica")  # no trigger, no look at other tables
            connection.execute("; ".join(f"DELETE FROM {table}" for table in used))
            connection.execute(f"VACUUM (INDEX_CLEANUP on, SKIP_DATABASE_STATS) {', '.join(used)}")
            connection.execute(_FORGET)
            for table, rows in self._rows.items():
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)
        return True

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.sockets}"

    def _connected(self, name: str) -> "Connection[Any]":
        return psycopg.connect(self._url(name), autocommit=True)


def _rows(connection: "Connection[Any]", table: str) -> bytes:
    """All rows of a table, as COPY tells them."""
    with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(bytes(part) for part in copy)
