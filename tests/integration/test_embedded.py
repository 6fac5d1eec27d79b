"""The embedded services: real, private, and kind to the machine they run on."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import text

from core import embedded
from core.database import open_database
from core.embedded import postgres, valkey
from core.embedded.places import Places
from core.errors import ConfigError, ServiceError
from core.migrate import current_revision, head_revision, upgrade
from core.processes import started_at
from core.workspace import Workspace
from tests.processes import wait_for

#: A sound server that starts and stops quickly.
FAST = {"fsync": "off", "shared_buffers": "16MB"}


@pytest.fixture
def workspace(make_workspace):
    """A workspace with services of its own, gone with the test."""
    workspace = make_workspace()
    yield workspace
    embedded.destroy(workspace)


@contextlib.contextmanager
def bystander(*arguments):
    """A process that only waits, with these words in its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", *arguments])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _modes(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in (path, *path.parents)}


def _one(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1").fetchone()[0]


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not started_at(pid), f"{pid} to end")


def test_postgres_18_answers_and_a_second_start_changes_nothing(server, database):
    """
    The embedded database is PostgreSQL 18, and starting it again returns the same URL.
    """
    url = embedded.ensure_postgres(server)

    with database.begin() as connection:
        version = connection.execute(text("SHOW server_version")).scalar_one()
    assert version.startswith("18")
    assert url == embedded.ensure_postgres(server)


def test_no_permission_outside_its_folder_changes(workspace):
    """
    Starting the services leaves the permissions of every folder above the workspace, and of the installed
    programs, as they were.
    """
    programs = postgres.wheel_folder()
    before = _modes(workspace.root) | _modes(programs) | {Path.home(): stat.S_IMODE(Path.home().stat().st_mode)}

    embedded.ensure_postgres(workspace, options=FAST)
    embedded.ensure_valkey(workspace)
    after = {path: stat.S_IMODE(path.stat().st_mode) for path in before}
    private = stat.S_IMODE(embedded.places(workspace).sockets.stat().st_mode)

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


def test_a_recycled_process_id_is_not_taken_for_the_server(workspace):
    """
    The id in the files of servers that were killed now means another process, which even speaks of postgres: it is
    not counted as running, it is never signalled, and the servers start beside it.
    """
    url = embedded.ensure_postgres(workspace, options=FAST)
    embedded.ensure_valkey(workspace)
    at = embedded.places(workspace)
    for process in (postgres.process(at), valkey.process(at)):
        _kill(process)

    with bystander("postgres", str(at.postgres), "valkey-server") as innocent:
        pid_file = at.postgres / "postmaster.pid"
        pid_file.write_text("\n".join([str(innocent.pid), *pid_file.read_text().split("\n")[1:]]))
        at.valkey_pid.write_text(str(innocent.pid))

        assert {"postgres": False, "valkey": False} == embedded.running(workspace)
        assert [] == embedded.stop(workspace)
        assert 1 == _one(embedded.ensure_postgres(workspace, options=FAST))
        assert embedded.ensure_valkey(workspace).startswith("unix://")
        assert innocent.poll() is None
    assert url == embedded.postgres_url(workspace)


def test_an_interrupted_first_start_leaves_nothing_half_made(workspace, monkeypatch):
    """
    A first start that is interrupted before the database is in the cluster leaves no cluster, and the next one
    makes it whole.
    """
    run = postgres._run

    def interrupted(program, *arguments, **more):
        if program == "postgres":
            raise KeyboardInterrupt
        run(program, *arguments, **more)

    monkeypatch.setattr(postgres, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embedded.ensure_postgres(workspace)
    monkeypatch.undo()
    at = embedded.places(workspace)
    assert not at.postgres.exists()
    assert 1 == len(list(at.base.glob("postgres.draft-*")))

    assert 1 == _one(embedded.ensure_postgres(workspace, options=FAST))
    assert [] == list(at.base.glob("postgres.draft-*"))


def test_servers_that_lost_their_sockets_are_started_again(workspace):
    """
    When the folder of sockets is swept away under running servers, the next start ends them and they answer again,
    with what was stored.
    """
    url = embedded.ensure_postgres(workspace, options=FAST)
    embedded.ensure_valkey(workspace)
    at = embedded.places(workspace)
    before = postgres.process(at), valkey.process(at)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")

    shutil.rmtree(at.sockets)
    assert {"postgres": True, "valkey": True} == embedded.running(workspace)
    with psycopg.connect(embedded.ensure_postgres(workspace, options=FAST)) as connection:
        assert (0,) == connection.execute("SELECT count(*) FROM kept").fetchone()
    with redis.from_url(embedded.ensure_valkey(workspace)) as client:
        assert client.ping()
    assert ["", ""] == [started_at(pid) for pid in before]


def test_valkey_without_its_pid_file_or_its_socket_is_found_and_stopped(workspace):
    """
    A Valkey whose pid file is gone is found by its socket, one whose socket is gone by its pid file.
    """
    at = embedded.places(workspace)
    for lost in (lambda: at.valkey_pid, lambda: at.valkey_socket):
        embedded.ensure_valkey(workspace)
        pid = valkey.process(at)
        lost().unlink()

        assert ["valkey"] == embedded.stop(workspace)
        assert "" == started_at(pid)


def test_another_tmpdir_finds_the_same_servers(tmp_path):
    """
    Where the sockets are is remembered: a later command with another TMPDIR uses the same ones, until the services
    were stopped.
    """
    first, later = Places(tmp_path / "base", "k", tmp_path / "a"), Places(tmp_path / "base", "k", tmp_path / "b")
    (tmp_path / "base").mkdir()

    first.make_sockets()
    later.make_sockets()
    assert tmp_path / "a" == later.sockets
    later.forget_sockets()
    later.make_sockets()

    assert tmp_path / "b" == first.sockets
    assert not (tmp_path / "a").exists()


def test_a_folder_too_long_for_sockets_is_told(tmp_path):
    """
    A TMPDIR in which no socket fits is refused with its length and what to do.
    """
    at = Places(tmp_path, "k", Path(tempfile.gettempdir()) / ("x" * 100))

    with pytest.raises(ServiceError, match=r"too long \(got 1\d\d bytes, expected at most 10[37]\)") as refusal:
        at.make_sockets()

    assert "set TMPDIR" in refusal.value.hint
    assert not at.sockets.exists()


def test_starts_at_the_same_time_make_one_server(workspace):
    """
    Four starts at once give one server and one URL.
    """
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda _: embedded.ensure_postgres(workspace, options=FAST), range(4)))

    assert {embedded.postgres_url(workspace)} == urls
    assert 1 == _one(urls.pop())


def test_upgrade_is_safe_to_repeat(database):
    """
    Upgrading a database that is at the newest revision leaves it there.
    """
    assert head_revision() == current_revision(database)
    assert head_revision() == upgrade(database)


def _with_another_secret(workspace):
    file = workspace.root / "clarion.yaml"
    file.write_text(file.read_text().replace("0123456789abcdef", "fedcba9876543210"), encoding="utf-8")
    return Workspace(workspace.root)


def test_data_of_a_workspace_that_is_gone_is_not_taken_over(workspace):
    """
    A new workspace at the path of an old one, whose data is still there, is told so and how to begin anew.
    """
    open_database(workspace).dispose()
    heir = _with_another_secret(workspace)

    with pytest.raises(ConfigError, match="made with another secret") as refused:
        open_database(heir)
    assert "clarion down --erase" in refused.value.hint
    embedded.destroy(heir)
    open_database(heir).dispose()


def test_an_external_database_wants_the_secret_it_began_with(make_workspace, database):
    """
    With another secret nobody would be found who opted out: the secret must be restored, and nothing be erased.
    """
    first = make_workspace(database=database)
    open_database(first).dispose()

    with pytest.raises(ConfigError, match="made with another secret") as refused:
        open_database(_with_another_secret(first))
    assert "restore the secret" in refused.value.hint
    assert "erase" not in refused.value.hint
