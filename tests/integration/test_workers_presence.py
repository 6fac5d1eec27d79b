"""Who is there: as the database sees it, and as `clarion up` waits for it."""

import os
import subprocess
import sys

from sqlalchemy import text

from campaigns import presence
from campaigns.presence import Present, await_senders, is_present, present
from core.commands import Desk
from tests.processes import wait_for
from workers import up_record
from workers.commands.processes import _not_ready
from workers.supervisor import PROCESSES

ME = os.getpid()  # its group's leader may be gone, as under nohup


def _seen(database, process, group=ME):
    with database.begin() as connection:
        return is_present(connection, process, group)


def _sessions(database):
    with database.begin() as connection:
        named = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'clarion worker %'"
        return list(connection.execute(text(named)).scalars())


def test_an_idle_process_is_seen_again_after_its_connection_was_lost(database):
    """
    A process that has nothing to do stays present: its connection comes back by itself.
    """
    end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'clarion worker %'")
    with Present(database.url, "worker", group=ME):
        wait_for(lambda: _seen(database, "worker"), "the worker to be seen")
        lost = _sessions(database)
        with database.begin() as connection:
            assert {"worker", "command"} == present(connection)
            assert [True] == list(connection.execute(end).scalars())
        wait_for(lambda: _sessions(database) not in ([], lost), "the worker to be connected anew")

        assert _seen(database, "worker")

    assert not _seen(database, "worker")


class _Clock:
    """`time` of `campaigns.presence`: instead of sleeping, something happens."""

    def __init__(self, deed):
        self.deed, self.slept = deed, 0.0

    def monotonic(self):
        return self.slept

    def sleep(self, seconds):
        self.slept += seconds
        self.deed()


def test_a_process_that_is_being_started_again_is_waited_for(database, monkeypatch):
    """
    While a scheduler is there, a worker that was lost comes back; where nothing runs, nobody waits for it.
    """
    worker = Present(database.url, "worker", group=ME)

    def comes_back():
        worker.start()
        wait_for(lambda: _seen(database, "worker"), "the worker to be seen")

    clock = _Clock(lambda: None)
    monkeypatch.setattr(presence, "time", clock)
    nothing = await_senders(database), clock.slept
    with Present(database.url, "scheduler", group=ME):
        wait_for(lambda: _seen(database, "scheduler"), "the scheduler to be seen")
        alone = await_senders(database), clock.slept > 5
        clock.deed = comes_back
        clock.slept = 0.0
        back = await_senders(database), clock.slept > 0
        worker.stop()

    assert ((False, 0.0), (False, True), (True, True)) == (nothing, alone, back)


def test_up_waits_for_its_own_processes_not_for_anybodys(database, make_workspace):
    """
    A worker, scheduler and web of somebody else are connected: what `up` started is ready only when it is there itself.
    """
    desk = Desk(make_workspace(database=database).root)
    somebody = [Present(database.url, process, group=ME).start() for process in PROCESSES]
    wait_for(lambda: all(_seen(database, process) for process in PROCESSES), "all to be seen")
    me = up_record.Started.of(os.getpid())

    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as ours:
        mine = up_record.Started.of(ours.pid)
        up_record.write(desk.workspace, dict.fromkeys(PROCESSES, mine) | {up_record.SUPERVISOR: me})
        assert list(PROCESSES) == _not_ready(desk, me.pid)
        ours.kill()
    theirs = up_record.Started.of(ME)
    up_record.write(desk.workspace, {"worker": theirs, "scheduler": theirs, "web": mine, up_record.SUPERVISOR: me})
    missing = _not_ready(desk, me.pid), _not_ready(desk, me.pid + 1)

    up_record.write(desk.workspace, {})
    for process in somebody:
        process.stop()
    desk.close()
    assert (["web"], list(PROCESSES)) == missing
