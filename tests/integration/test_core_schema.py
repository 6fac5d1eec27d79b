"""The database as the migrations make it is the one that the code tells of: tables, views, functions and triggers."""

from sqlalchemy import Connection, text

from core.database import Database
from core.schema import metadata
from core.schema_code import FUNCTIONS, TRIGGERS, VIEWS

#: What the schema that comes first holds, each thing with everything that it says.
_CATALOGUE = """
    SELECT 'table' AS kind, c.relname::text AS name,
           concat_ws(' ', c.relkind, c.reloptions::text, obj_description(c.oid, 'pg_class')) AS definition
    FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v')
      AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'column', c.relname || '.' || a.attname,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                     pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0
      AND NOT a.attisdropped AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid)
    FROM pg_constraint AS c
    WHERE c.connamespace = current_schema()::regnamespace AND c.contype <> 't'
      AND c.conrelid <> 'public.alembic_version'::regclass
    UNION ALL
    SELECT 'index', indexname, replace(indexdef, ' ' || schemaname || '.', ' ')
    FROM pg_indexes WHERE schemaname = current_schema() AND tablename <> 'alembic_version'
    UNION ALL
    SELECT 'view', relname, pg_get_viewdef(oid)
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v'
    UNION ALL
    SELECT 'enum', t.typname, string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder)
    FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid
    WHERE t.typnamespace = current_schema()::regnamespace GROUP BY t.typname
"""
_FUNCTIONS = """
    SELECT proname::text, obj_description(oid, 'pg_proc') FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype
"""
_TRIGGERS = """
    SELECT tgname || ' ON ' || tgrelid::regclass, obj_description(oid, 'pg_trigger') FROM pg_trigger
    WHERE NOT tgisinternal
"""
_IDLE_FUNCTIONS = """
    SELECT proname::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prorettype = 'trigger'::regtype
      AND oid NOT IN (SELECT tgfoid FROM pg_trigger)
"""


def _catalogue(connection: Connection, place: str) -> dict[tuple[str, str], str]:
    connection.execute(text(f"SET LOCAL search_path TO {place}"))
    return {(row.kind, row.name): row.definition for row in connection.execute(text(_CATALOGUE))}


def _told(connection: Connection, query: str) -> dict[str, str]:
    return dict(map(tuple, connection.execute(text(query))))


def test_schema_in_code_equals_all_migrations(database: Database) -> None:
    """
    Tables, columns, constraints, indexes, views and enums that the code makes are those that the migrations make, with
    their conditions, defaults and comments.
    """
    with database.begin() as connection:
        connection.execute(text("CREATE SCHEMA coded"))
        connection.execute(text("SET LOCAL search_path TO coded"))
        metadata.create_all(connection)
        for name, query in VIEWS.items():
            connection.exec_driver_sql(f'CREATE VIEW "{name}" AS {query}')
        coded, migrated = _catalogue(connection, "coded"), _catalogue(connection, "public")

    assert {"table", "column", "constraint", "index", "view", "enum"} == {kind for kind, _ in migrated}
    assert coded == migrated


def test_functions_and_triggers_are_those_the_code_tells_of(database: Database) -> None:
    """
    Each function and trigger of the database is told in the code, with the words of its comment, and no other is;
    no function is left over that only a trigger could call.
    """
    with database.begin() as connection:
        functions, triggers = _told(connection, _FUNCTIONS), _told(connection, _TRIGGERS)
        idle = connection.execute(text(_IDLE_FUNCTIONS)).all()

    assert FUNCTIONS == functions
    assert TRIGGERS == triggers
    assert [] == idle
