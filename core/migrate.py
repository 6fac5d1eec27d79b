"""The schema in the database equals the schema in the code: Alembic, from Python."""

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ServiceError

if TYPE_CHECKING:
    from alembic.config import Config

    from core.database import Database

#: Advisory lock of everything that changes the schema.
_LOCK = 0x434C4152


def _config(database: "Database") -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["database"] = database
    return config


def head_revision() -> str:
    """The newest revision the code knows. Read from the file names: no Alembic is loaded."""
    files = sorted((Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
    return files[-1].stem.split("_")[0]


def current_revision(database: "Database") -> str | None:
    """The revision the database is at; None for an empty one."""
    from sqlalchemy import text

    with database.begin() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(database: "Database") -> str:
    """The schema is at the newest revision, which is returned.

    Atomic: yes, all revisions in one transaction under a lock. Repeat: safe.
    """
    from alembic import command
    from sqlalchemy import text

    config = _config(database)
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head_revision()


def ensure_schema(database: "Database", *, may_upgrade: bool) -> None:
    """The schema is at the newest revision.

    Raises:
        ServiceError: it is not, and `may_upgrade` is False; or the database is newer than the code.
    """
    current, head = current_revision(database), head_revision()
    if current == head:
        return
    if current is not None and current > head:
        raise ServiceError(
            f"the database is newer than this Clarion (schema {current}, expected {head})",
            hint="install the newer one",
        )
    if not may_upgrade:
        raise ServiceError(
            f"the database lacks the schema (got {current or 'none'}, expected {head})",
            hint="run `clarion db upgrade`; take a backup first",
        )
    upgrade(database)
