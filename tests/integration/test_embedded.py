"""The embedded services: real, private, and kind to the machine they run on."""

import os
import stat
from pathlib import Path

from sqlalchemy import text

from core import embedded
from core.database import open_database
from core.migrate import current_revision, head_revision, upgrade


def _modes(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in (path, *path.parents)}


def test_postgres_18_answers_and_a_second_start_changes_nothing(server, database):
    """
    The embedded database is PostgreSQL 18, and starting it again returns the same URL.
    """
    url = embedded.ensure_postgres(server)

    with database.begin() as connection:
        version = connection.execute(text("SHOW server_version")).scalar_one()
    assert version.startswith("18")
    assert url == embedded.ensure_postgres(server)


def test_no_permission_outside_its_folder_changes(make_workspace):
    """
    Starting the services leaves the permissions of every folder above the workspace, and of the installed
    programs, as they were.
    """
    workspace = make_workspace()
    programs = embedded._wheel_folder()
    before = _modes(workspace.root) | _modes(programs) | {Path.home(): stat.S_IMODE(Path.home().stat().st_mode)}

    embedded.ensure_postgres(workspace)
    embedded.ensure_valkey(workspace)
    after = {path: stat.S_IMODE(path.stat().st_mode) for path in before}
    private = stat.S_IMODE(embedded.places(workspace).sockets.stat().st_mode)
    embedded.destroy(workspace)

    assert before == after
    assert 0o700 == private


def test_services_outlive_the_starter_and_stop_when_told(make_workspace):
    """
    What was started keeps running, is reported as running, and is stopped by stop() with the data kept.
    """
    workspace = make_workspace()
    database = open_database(workspace)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE kept (n int)"))
    database.dispose()
    embedded.ensure_valkey(workspace)

    assert {"postgres": True, "valkey": True} == embedded.running(workspace)
    assert {"postgres", "valkey"} == set(embedded.stop(workspace))
    assert {"postgres": False, "valkey": False} == embedded.running(workspace)

    again = open_database(workspace)
    with again.begin() as connection:
        assert 0 == connection.execute(text("SELECT count(*) FROM kept")).scalar_one()
    again.dispose()
    embedded.destroy(workspace)
    assert not os.path.exists(embedded.places(workspace).base)


def test_upgrade_is_safe_to_repeat(database):
    """
    Upgrading a database that is at the newest revision leaves it there.
    """
    assert head_revision() == current_revision(database)
    assert head_revision() == upgrade(database)


def test_schema_in_code_equals_all_migrations(database):
    """
    The tables that the migrations make are those of core/schema.py.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from core.schema import metadata

    with database.begin() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert [] == differences
