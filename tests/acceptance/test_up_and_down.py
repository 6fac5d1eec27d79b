"""`clarion up` and `clarion down`: everything on one machine, kept running."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from core import embedded
from core.embedded import postgres
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.processes import REPOSITORY, clarion, clarion_json, free_port, wait_for
from workers import supervisor, up_record


@pytest.fixture
def office(make_workspace):
    """A workspace with embedded services of its own and a free port for its pages; everything ends with the test."""
    port = free_port()
    settings = MINIMAL_SETTINGS + f"web: {{{{host: 127.0.0.1, port: {port}}}}}\n"
    workspace = make_workspace(files=FILES, settings=settings, smtp_port=free_port())
    yield workspace
    clarion(workspace, "down", expect=None)
    embedded.destroy(workspace)


def _children(workspace):
    """The processes the supervisor keeps running."""
    started = up_record.running(workspace)
    return {name: psutil.Process(started[name].pid) for name in supervisor.PROCESSES if name in started}


def _with_descendants(processes):
    return [process for child in processes for process in (child, *child.children(recursive=True))]


def _alive(processes):
    return [it for it in processes if it.is_running() and it.status() != psutil.STATUS_ZOMBIE]


def _kill_supervisor(workspace):
    os.kill(supervisor.running_pid(workspace), signal.SIGKILL)
    wait_for(lambda: supervisor.running_pid(workspace) is None, "the supervisor to end")


def test_a_killed_process_is_started_again_and_down_stops_all(office):
    """
    After `up --detach` worker, scheduler and web run; one that is killed comes back; a second `up` changes nothing;
    `down` leaves nothing running.
    """
    clarion(office, "up", "--detach")
    before = _children(office)
    assert {"worker", "scheduler", "web"} == set(before)
    assert "already up" in clarion(office, "up", "--detach").stdout

    os.kill(before["scheduler"].pid, signal.SIGKILL)
    wait_for(
        lambda: (now := _children(office).get("scheduler")) is not None and now.pid != before["scheduler"].pid,
        "the scheduler to come back",
    )
    everything = _with_descendants(_children(office).values())
    clarion(office, "down")

    assert [] == _alive(everything)
    assert {"postgres": False, "valkey": False} == embedded.running(office)
    assert "nothing was running" in clarion(office, "down").stdout


def test_what_a_killed_supervisor_left_is_ended_first(office):
    """
    When the supervisor is killed, the next `up` ends its processes before it starts its own, so that each runs once;
    and `down` ends them when nothing supervises.
    """
    clarion(office, "up", "--detach")
    orphans = _with_descendants(_children(office).values())
    _kill_supervisor(office)

    clarion(office, "up", "--detach")
    assert [] == _alive(orphans)
    assert {"worker", "scheduler", "web"} == set(_children(office))

    orphans = _with_descendants(_children(office).values())
    _kill_supervisor(office)
    assert "stopped: worker, scheduler, web" in clarion(office, "down").stdout
    assert [] == _alive(orphans)


def test_a_recycled_process_id_is_neither_trusted_nor_killed(make_workspace):
    """
    An old record whose process ids now mean another process does not count as up, and that process is left alone.
    """
    workspace = make_workspace()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as innocent:
        stale = up_record.Started(innocent.pid, "long ago")
        up_record.write(workspace, dict.fromkeys((up_record.SUPERVISOR, *supervisor.PROCESSES), stale))

        assert supervisor.running_pid(workspace) is None
        assert not supervisor.stop(workspace)
        assert innocent.poll() is None
        innocent.kill()


def test_two_supervisors_at_once_are_one(office):
    """
    Of two `up` started at the same moment one runs and the other says so.
    """
    embedded.ensure_postgres(office)
    command = [sys.executable, "-P", "-m", "cli", "--workspace", str(office.root), "up", "--foreground"]
    rivals = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    wait_for(lambda: any(it.poll() is not None for it in rivals), "one to give way")
    loser, winner = sorted(rivals, key=lambda it: it.poll() is None)

    assert "Another `clarion up`" in loser.communicate()[1]
    assert winner.pid == supervisor.running_pid(office)
    clarion(office, "down")
    winner.communicate(timeout=60)
    assert [1, 0] == [loser.returncode, winner.returncode]


def test_processes_count_as_present_again_after_the_database_was_away(office):
    """
    An idle worker, scheduler and web are seen again by the doctor when the database was killed and came back.
    """
    clarion(office, "up", "--detach")

    def unwell():
        checks = clarion_json(office, "doctor", expect=None)["checks"]
        return {check["check"] for check in checks if not check["ok"]}

    assert {"transport main"} == unwell()
    killed = postgres.process(embedded.places(office))
    os.kill(killed, signal.SIGQUIT)
    # A process of the workspace that starts anew just then may bring it back before we do.
    wait_for(lambda: postgres.process(embedded.places(office)) != killed, "the database to end")
    embedded.ensure_postgres(office)
    children = _children(office)

    wait_for(lambda: unwell() == {"transport main"}, "all to be present again")
    assert {name: it.pid for name, it in children.items()} == {name: it.pid for name, it in _children(office).items()}


def test_doctor_tells_what_is_missing(office):
    """
    With nothing started the doctor names each missing part and exits with 1.
    """
    report = clarion(office, "doctor", expect=1).stdout

    assert "not running: scheduler, worker" in report
    assert "does not answer" in report
