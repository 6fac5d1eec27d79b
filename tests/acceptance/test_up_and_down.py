"""`clarion up` and `clarion down`: everything on one machine, kept running."""

import os
import signal

import psutil
import pytest

from core import embedded
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.processes import clarion, free_port, wait_for


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
    supervisor = psutil.Process(int((workspace.state / "up.pid").read_text()))
    alive = [child for child in supervisor.children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child.cmdline()[-1]: child for child in alive}


def test_a_killed_process_is_started_again_and_down_stops_all(office):
    """
    After `up --detach` worker, scheduler and web run; one that is killed comes back; `down` leaves nothing running.
    """
    clarion(office, "up", "--detach")
    before = _children(office)
    assert {"worker", "scheduler", "web"} == set(before)

    os.kill(before["scheduler"].pid, signal.SIGKILL)
    wait_for(
        lambda: (now := _children(office).get("scheduler")) is not None and now.pid != before["scheduler"].pid,
        "the scheduler to come back",
    )
    everything = [
        process for child in _children(office).values() for process in (child, *child.children(recursive=True))
    ]
    clarion(office, "down")

    assert [] == [process for process in everything if process.is_running() and process.status() != "zombie"]
    assert {"postgres": False, "valkey": False} == embedded.running(office)
    assert "nothing was running" in clarion(office, "down").stdout


def test_doctor_tells_what_is_missing(office):
    """
    With nothing started the doctor names each missing part and exits with 1.
    """
    report = clarion(office, "doctor", expect=1).stdout

    assert "not running: scheduler, worker" in report
    assert "does not answer" in report
