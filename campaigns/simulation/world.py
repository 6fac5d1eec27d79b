"""A world beside the real one: every table is shadowed by a temporary one, so production's own SQL runs unchanged.

PostgreSQL looks for a table among a connection's temporary ones first. All of them are shadowed, whether or not
anything writes them: what nobody foresaw would otherwise be written to the real ones. No row of these is written or
locked, no sequence moves, nobody waits (`core.advisory`), and nothing is told to anybody: the transaction is rolled
back.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from core import advisory
from core.database import Database
from core.schema import metadata
from core.schema_code import VIEWS

#: What a rehearsal never asks for is not copied; what it asks in part is copied in part. All other tables are whole.
_COPIED: Final[Mapping[str, str | None]] = {
    "kept_content": None, "inbound_mail": None, "inbound_place": None, "sign_up": None, "rights_request": None,
    "used_token": None, "public_count": None, "erasure": None, "import_run": None, "audit_head": None, "leader": None,
    "throttle": None, "domain_tally": None, "customer_alias": None, "tier_change": None,
    "audit": "action = 'pause'",  # which roll-outs were stopped before
    "attempt": "message_id IN (SELECT m.id FROM message AS m JOIN run ON run.id = m.run_id "
               "WHERE run.state IN ('running', 'paused'))",
    "staff_notice": "state = 'planned'",
}  # fmt: skip
#: Tables that are asked at every step are worth more of them.
_SETTINGS: Final = ("temp_buffers = '256MB'", "work_mem = '128MB'", "maintenance_work_mem = '256MB'", "jit = off")


class WroteToReality(AssertionError):
    """A rehearsal wrote to a table that is not its own. Nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class _Definitions:
    """What belongs to the real tables, as statements that make the same of their shadows."""

    schema: str
    constraints: tuple[str, ...]
    indexes: tuple[str, ...]
    triggers: tuple[str, ...]


@contextmanager
def shadow_world(database: Database, *, empty: bool = False) -> Iterator[Connection]:
    """A transaction in which every table is a copy of the real one (`empty`: has no rows), to be rolled back.

    In an empty one numbers begin at 1, so that what is drawn by them does not depend on the real one.

    Raises:
        WroteToReality: a real table was written to; that was rolled back.
    """
    with database.rehearsal() as connection:
        advisory.rehearse(connection)
        for setting in _SETTINGS:
            connection.execute(text(f"SET LOCAL {setting}"))
        definitions = _defined(connection)
        _make_tables(connection, definitions, empty=empty)
        yield connection
        _check_untouched(connection, definitions.schema)


def _make_tables(connection: Connection, definitions: _Definitions, *, empty: bool) -> None:
    names = [table.name for table in metadata.sorted_tables]
    for name in names:  # before any is filled: conditions of copies name other tables
        connection.execute(text(_LIKE.format(name=name, schema=definitions.schema)))
    for statement in _functions(connection, definitions.schema):
        connection.exec_driver_sql(statement)
    for name, view in VIEWS.items():
        connection.execute(text(f"CREATE TEMP VIEW {name} AS {view}"))
    copied = () if empty else tuple(name for name in names if _COPIED.get(name, "") is not None)
    for name in copied:
        given = {"name": name, "schema": definitions.schema, "condition": _COPIED.get(name) or "true"}
        connection.execute(text(_COPY.format(**given)))
    for statement in (*definitions.constraints, *definitions.indexes, *definitions.triggers):
        connection.exec_driver_sql(statement)
    if not empty:
        _move_counters(connection, definitions.schema, names)
    for name in copied:
        connection.execute(text(f"ANALYZE {name}"))


def count_anew(connection: Connection) -> None:
    """New rows of an empty world get numbers from 1 on, whatever was numbered and rolled back before."""
    connection.execute(_COUNT_ANEW)


_COUNT_ANEW: Final = text("""
    SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = pg_my_temp_schema()
""")
_COPY: Final = "INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM {schema}.{name} WHERE {condition}"
_LAST: Final = "SELECT coalesce(max(id), 0) FROM {schema}.{name}"
_LIKE: Final = "CREATE TEMP TABLE {name} (LIKE {schema}.{name} INCLUDING ALL EXCLUDING INDEXES EXCLUDING COMMENTS)"


# --- indexes, constraints, triggers -------------------------------------------------------------------------------

# Foreign keys are left out: they would lock rows, and nobody is deleted in a rehearsal.
_CONSTRAINTS: Final = """
    SELECT t.relname AS table, c.conname AS name, pg_get_constraintdef(c.oid) AS text
    FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
    WHERE t.relnamespace = to_regnamespace(:schema) AND c.contype IN ('p', 'u') ORDER BY 1, 2
"""
_INDEXES: Final = """
    SELECT t.relname AS table, pg_get_indexdef(i.indexrelid) AS text
    FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE t.relnamespace = to_regnamespace(:schema)
      AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
    ORDER BY 1, 2
"""
# The audit of a rehearsal is no evidence of anything. A trigger that takes locks lines up those who write at the same
# time: here nobody does, and production would wait.
_TRIGGERS: Final = """
    SELECT t.relname AS table, pg_get_triggerdef(g.oid) AS text
    FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid JOIN pg_proc AS p ON p.oid = g.tgfoid
    WHERE t.relnamespace = to_regnamespace(:schema) AND NOT g.tgisinternal AND t.relname <> 'audit'
      AND p.prosrc NOT LIKE '%advisory%lock%' ORDER BY 1, 2
"""


def _defined(connection: Connection) -> _Definitions:
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()

    def found(query: str) -> list[tuple[str, str, str]]:
        rows = connection.execute(text(query), {"schema": schema}).mappings()
        return [(row["table"], row.get("name", ""), row["text"]) for row in rows if row["table"] in metadata.tables]

    constraints = (
        f'ALTER TABLE pg_temp."{table}" ADD CONSTRAINT "{name}" {rest}' for table, name, rest in found(_CONSTRAINTS)
    )
    return _Definitions(
        schema,
        tuple(constraints),
        tuple(_of_shadow(schema, table, statement) for table, _, statement in found(_INDEXES)),
        tuple(_of_shadow(schema, table, statement) for table, _, statement in found(_TRIGGERS)),
    )


# One that takes a whole row takes a row of the real table: the shadow's needs one of the same name. Asked once the
# shadows are there, when the server names the real tables with their schema.
_OF_ROWS: Final = """
    SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc AS p
    WHERE p.pronamespace = to_regnamespace(:schema)
      AND EXISTS (SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
                  WHERE t.oid = ANY(p.proargtypes) AND c.relnamespace = p.pronamespace)
    ORDER BY p.oid
"""


def _functions(connection: Connection, schema: str) -> list[str]:
    """Functions for rows of shadows. They are in no schema of their own, and gone with the transaction."""
    connection.execute(text("SET LOCAL check_function_bodies = off"))
    types = re.compile(rf"(?<=\s){re.escape(schema)}\.(?=({'|'.join(metadata.tables)})\b)")
    rows = connection.execute(text(_OF_ROWS), {"schema": schema}).scalars()
    return [types.sub("pg_temp.", definition).replace("%", "%%") for definition in rows]


def _of_shadow(schema: str, table: str, statement: str) -> str:
    """The statement about the shadow of its table. Percent signs are the driver's."""
    real = re.compile(rf'\bON (?:{re.escape(schema)}\.|"{re.escape(schema)}"\.)?"?{table}"?(?=\s)')
    moved, count = real.subn(f'ON pg_temp."{table}"', statement, count=1)
    if not count:
        raise ValueError(f"no table {table!r} in {statement!r}")
    return moved.replace("%", "%%")


def _move_counters(connection: Connection, schema: str, names: list[str]) -> None:
    """New rows get numbers no real row has: none of them is taken for another one's."""
    for name in names:
        if "id" not in metadata.tables[name].c or metadata.tables[name].c["id"].identity is None:
            continue
        last = connection.execute(text(_LAST.format(name=name, schema=schema))).scalar_one()
        connection.execute(text(f"ALTER TABLE pg_temp.{name} ALTER COLUMN id RESTART WITH {last + 1}"))


_TOUCHED: Final = text("""
    SELECT relname FROM pg_stat_xact_user_tables
    WHERE schemaname = :schema AND n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY relname
""")


def _check_untouched(connection: Connection, schema: str) -> None:
    touched = connection.execute(_TOUCHED, {"schema": schema}).scalars().all()
    if touched:
        raise WroteToReality(f"a rehearsal wrote to {', '.join(touched)}")
