"""The commands that run processes: all of them on one machine, or one."""

import logging
import os
import sys
import time

import click

from core.commands import Desk, remark
from core.errors import ServiceError


def log_to_stderr() -> None:
    """What the process logs goes to stderr, without the chatter of libraries."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s  %(message)s"
    )
    for chatty in ("alembic", "apscheduler", "celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


# --- everything on one machine --------------------------------------------------------------------------


@click.command()
@click.option("--detach", is_flag=True, help="Come back when everything runs.")
@click.option("--foreground", is_flag=True, hidden=True)
@click.pass_obj
def up(desk: Desk, detach: bool, foreground: bool) -> None:
    """Start the embedded services, workers, scheduler and web pages on this machine."""
    from core.embedded import ensure_valkey
    from workers import supervisor

    log_to_stderr()
    workspace = desk.workspace
    if not foreground and (pid := supervisor.running_pid(workspace)) is not None:
        click.echo(f"already up (process {pid}); stop it with `clarion down`")
        return
    desk.database.dispose()
    if workspace.settings.broker == "embedded":
        ensure_valkey(workspace)
    if detach:
        _detach(desk)
        click.echo("up: worker, scheduler and web are running; stop them with `clarion down`")
        return
    remark(f"up: worker, scheduler and web at {workspace.settings.tracking.base_url}; stop with Ctrl-C")
    supervisor.supervise(workspace)


def _detach(desk: Desk, timeout_s: float = 30.0) -> None:
    """A supervisor of ours runs, and each of its processes is ready.

    Raises:
        ServiceError: it ended, or a process is not ready in time; then all of them are stopped again.
    """
    from workers import supervisor

    deadline = time.monotonic() + timeout_s
    with supervisor.detached(desk.workspace) as process:
        while missing := _not_ready(desk, process.pid):
            if process.poll() is not None:
                words = supervisor.log_file(desk.workspace, "up").read_text(errors="replace").strip().splitlines()
                raise ServiceError(f"`clarion up` ended with code {process.returncode}", hint="\n".join(words[-3:]))
            if time.monotonic() > deadline:
                supervisor.stop(desk.workspace)
                logs = desk.workspace.shown(desk.workspace.state / "logs")
                raise ServiceError(f"{', '.join(missing)} did not start in {timeout_s:.0f} s", hint=f"see {logs}")
            time.sleep(0.1)


def _not_ready(desk: Desk, pid: int) -> list[str]:
    """Which of the processes of the supervisor `pid` are not ready: somebody else's worker does not count."""
    from campaigns.presence import is_present
    from workers import supervisor, up_record

    ours = up_record.running(desk.workspace)
    if up_record.SUPERVISOR not in ours or ours[up_record.SUPERVISOR].pid != pid:
        return list(supervisor.PROCESSES)
    with desk.database.begin() as connection:
        return [
            name for name in supervisor.PROCESSES
            if name not in ours or not is_present(connection, name, ours[name].pid)
        ]  # fmt: skip


@click.command()
@click.option("--erase", is_flag=True, help="Also delete the embedded database, for good.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def down(desk: Desk, erase: bool, yes: bool) -> None:
    """Stop everything `clarion up` started, and the embedded services. Data is kept."""
    from core import embedded
    from workers import supervisor

    if erase and not yes:
        click.confirm("Delete the embedded database with everything in it?", abort=True, err=True)
    stopped = ["worker, scheduler, web"] if supervisor.stop(desk.workspace) else []
    stopped += embedded.stop(desk.workspace)
    if erase:
        embedded.destroy(desk.workspace)
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


# --- single processes --------------------------------------------------------------------------------------


def broker_of(desk: Desk) -> str:
    """The URL of the broker, which runs when it is the embedded one."""
    from core.embedded import ensure_valkey

    settings = desk.workspace.settings
    return ensure_valkey(desk.workspace) if settings.broker == "embedded" else settings.broker


@click.command()
@click.option("--processes", type=click.IntRange(1, 64), help="Default: workers.processes of clarion.yaml.")
@click.option(
    "--queue", "queues", multiple=True, help="Only these: transactional, calls, bulk (with calls). Default: all."
)
@click.option("--beside", type=int, hidden=True, help="The process this one ends with.")
@click.pass_obj
def worker(desk: Desk, processes: int | None, queues: tuple[str, ...], beside: int | None) -> None:
    """Run worker processes that send what is due. Run it on as many machines as you like.

    Without --queue, one more process serves transactional messages alone, so that they never wait for bulk.
    """
    import warnings

    from celery import signals
    from celery.exceptions import SecurityWarning

    from campaigns.presence import Present
    from core.names import did_you_mean
    from workers.celery_app import BULK, CALLS, QUEUES, make_app
    from workers.companion import accompany, end_with
    from workers.tasks import register

    if unknown := set(queues) - set(QUEUES):
        name = min(unknown)
        raise ServiceError(f"no queue {name!r}", hint=did_you_mean(name, QUEUES))
    if queues:  # who serves bulk has time for other systems, too
        queues = tuple(name for name in QUEUES if name in queues or (name == CALLS and BULK in queues))
    log_to_stderr()
    desk.database.dispose()
    app = make_app(broker_of(desk))
    register(app, desk.workspace)
    if not queues:
        accompany(app, desk.workspace)
    if beside is not None:
        end_with(app, beside)
    here = Present(desk.database.url, "worker")
    signals.worker_process_init.connect(lambda **_: here.start(), weak=False)
    signals.worker_process_shutdown.connect(lambda **_: here.stop(), weak=False)
    # Celery warns root of tasks that carry code. Ours carry the number of a batch, as JSON; and root is a documented
    # way to run everything on one machine.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    number = processes or desk.workspace.settings.workers.processes
    app.worker_main(
        [
            "worker",
            f"--concurrency={number}",
            f"--hostname=clarion-{os.getpid()}@%h",  # several on one machine are several
            "--queues",
            ",".join(queues or QUEUES),
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--prefetch-multiplier=1",
        ]
    )


@click.command()
@click.pass_obj
def scheduler(desk: Desk) -> None:
    """Run the scheduler: it tells workers what is due. Several may run; one leads, the others wait."""
    import signal
    import threading

    from campaigns.presence import Present
    from core.database import open_database
    from core.fresh_settings import FreshWorkspace
    from workers.celery_app import make_app
    from workers.duty_rounds import DutyRounds
    from workers.housekeeping import Housekeeping
    from workers.leading import Lead
    from workers.scheduler import Ticks, run

    log_to_stderr()
    app = make_app(broker_of(desk))
    database = open_database(desk.workspace, "scheduler ticks")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = desk.workspace.settings
    lead = Lead(database)
    ticks = Ticks(lead, app, desk.clock, settings.refusals)
    rounds = DutyRounds(
        lead, FreshWorkspace(desk.workspace), desk.clock, is_stopping=lambda: stopping.is_set() or lead.is_over
    )
    house = Housekeeping(lead, FreshWorkspace(desk.workspace), desk.clock)
    log = logging.getLogger("clarion.scheduler")
    with Present(database.url, "scheduler"):
        jobs = (rounds.work, ticks.settle, ticks.attend, ticks.call)
        chores = (house.keep_house, house.end_former)
        run(lead, jobs, ticks.publish, stopping, lambda: log.info("this scheduler leads"), chores)
    database.dispose()
