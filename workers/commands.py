"""The commands that run and look after processes and services."""

import logging
import sys
import time
from typing import Any

import click

from core.commands import Desk, json_option, print_json, print_table, remark
from core.errors import EngineError, ServiceError


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s  %(message)s"
    )
    for chatty in ("apscheduler", "celery.app.trace", "celery.worker.strategy"):
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

    _log_to_stderr()
    workspace = desk.workspace
    if (pid := supervisor.running_pid(workspace)) is not None and not foreground:
        click.echo(f"already up (process {pid})")
        return
    desk.database.dispose()
    if workspace.settings.broker == "embedded":
        ensure_valkey(workspace)
    if detach:
        supervisor.detach(workspace)
        _wait_until_present(desk)
        click.echo("up: worker, scheduler and web are running; stop them with `clarion down`")
        return
    remark(f"up: worker, scheduler and web at {workspace.settings.tracking.base_url}; stop with Ctrl-C")
    supervisor.supervise(workspace)


def _wait_until_present(desk: Desk, timeout_s: float = 30.0) -> None:
    from campaigns.presence import present
    from workers import supervisor

    deadline = time.monotonic() + timeout_s
    while True:
        with desk.database.begin() as connection:
            missing = set(supervisor.PROCESSES) - present(connection)
        if not missing and _web_answers(desk):
            return
        if time.monotonic() > deadline:
            supervisor.stop(desk.workspace)
            logs = desk.workspace.shown(desk.workspace.state / "logs")
            what = ", ".join(sorted(missing)) or "web"
            raise ServiceError(f"{what} did not start in {timeout_s:.0f} s", hint=f"see {logs}")
        time.sleep(0.1)


def _web_answers(desk: Desk) -> bool:
    import socket

    web = desk.workspace.settings.web
    try:
        with socket.create_connection((web.host, web.port), timeout=1):
            return True
    except OSError:
        return False


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


def _broker(desk: Desk) -> str:
    from core.embedded import ensure_valkey

    settings = desk.workspace.settings
    return ensure_valkey(desk.workspace) if settings.broker == "embedded" else settings.broker


@click.command()
@click.option("--processes", type=click.IntRange(1, 64), help="Default: workers.processes of clarion.yaml.")
@click.option("--queue", "queues", multiple=True, help="Only these queues: transactional, bulk. Default: both.")
@click.pass_obj
def worker(desk: Desk, processes: int | None, queues: tuple[str, ...]) -> None:
    """Run worker processes that send what is due. Run it on as many machines as you like."""
    from core.names import did_you_mean
    from workers.celery_app import QUEUES, make_app
    from workers.tasks import register

    if unknown := set(queues) - set(QUEUES):
        name = min(unknown)
        raise ServiceError(f"no queue {name!r}", hint=did_you_mean(name, QUEUES))
    _log_to_stderr()
    desk.database.dispose()
    app = make_app(_broker(desk))
    register(app, desk.workspace)
    number = processes or desk.workspace.settings.workers.processes
    app.worker_main(
        [
            "worker",
            f"--concurrency={number}",
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

    from core.database import open_database
    from workers.celery_app import make_app
    from workers.scheduler import Ticks, run

    _log_to_stderr()
    app = make_app(_broker(desk))
    database = open_database(desk.workspace, "scheduler ticks")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    ticks = Ticks(database, app, desk.clock, desk.workspace.settings.workers.batch_size)
    log = logging.getLogger("clarion.scheduler")
    run(database, ticks, stopping, lambda: log.info("this scheduler leads"))
    database.dispose()


# --- looking after ----------------------------------------------------------------------------------------


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@click.pass_obj
def upgrade(desk: Desk) -> None:
    """Bring the database to the newest schema. Safe to repeat; take a backup first."""
    from core import embedded, migrate
    from core.database import Database

    settings = desk.workspace.settings
    url = embedded.ensure_postgres(desk.workspace) if settings.database == "embedded" else settings.database
    database = Database(url)
    before = migrate.current_revision(database)
    after = migrate.upgrade(database)
    click.echo(f"schema {after}" if before == after else f"schema {before or 'none'} → {after}")


@db.command("url")
@click.pass_obj
def db_url(desk: Desk) -> None:
    """Print the embedded database's URL, for psql and pg_dump."""
    from core import embedded

    if desk.workspace.settings.database != "embedded":
        raise ServiceError("the database is external", hint="its URL is yours, see `database:` in clarion.yaml")
    click.echo(embedded.ensure_postgres(desk.workspace))


@click.command()
@json_option
@click.pass_obj
def doctor(desk: Desk, as_json: bool) -> None:
    """Say what is set up and what is missing. Exit code 1 when something is."""
    checks = [_checked(name, check, desk) for name, check in _CHECKS]
    if as_json:
        print_json({"healthy": all(row["ok"] for row in checks), "checks": checks})
    else:
        print_table(checks, ("ok", "check", "detail"))
    if not all(row["ok"] for row in checks):
        raise click.exceptions.Exit(1)


def _checked(name: str, check: Any, desk: Desk) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": check(desk)}
    except EngineError as error:
        return {"check": name, "ok": False, "detail": error.message.splitlines()[0]}


def _check_files(desk: Desk) -> str:
    from campaigns.catalogue import load

    catalogue = load(desk.workspace)
    return f"{len(catalogue.campaigns)} campaigns, {len(catalogue.segments)} segments"


def _check_database(desk: Desk) -> str:
    from core.migrate import current_revision

    return f"schema {current_revision(desk.database)}"


def _check_broker(desk: Desk) -> str:
    from kombu.exceptions import OperationalError

    from workers.celery_app import make_app

    try:
        with make_app(_broker(desk)).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError) as error:
        raise ServiceError(f"the broker cannot be reached: {error}") from None
    return "answers"


def _check_processes(desk: Desk) -> str:
    from campaigns.presence import present

    with desk.database.begin() as connection:
        here = present(connection) & {"worker", "scheduler"}
    if missing := {"worker", "scheduler"} - here:
        raise ServiceError(f"not running: {', '.join(sorted(missing))}; start them with `clarion up`")
    return "worker and scheduler are connected"


def _check_web(desk: Desk) -> str:
    if not _web_answers(desk):
        web = desk.workspace.settings.web
        raise ServiceError(f"nothing answers at {web.host}:{web.port}; start it with `clarion up`")
    return desk.workspace.settings.tracking.base_url


def _check_transports(desk: Desk) -> str:
    import socket
    from urllib.parse import urlsplit

    for name, transport in desk.workspace.settings.transports.items():
        parts = urlsplit(transport.url)
        port = parts.port or (465 if parts.scheme == "smtps" else 25)
        try:
            socket.create_connection((parts.hostname, port), timeout=3).close()
        except OSError as error:
            raise ServiceError(f"{name} at {transport.shown} does not answer: {error}") from None
    return ", ".join(f"{name} {transport.shown}" for name, transport in desk.workspace.settings.transports.items())


_CHECKS = (
    ("files", _check_files),
    ("database", _check_database),
    ("broker", _check_broker),
    ("processes", _check_processes),
    ("web", _check_web),
    ("transports", _check_transports),
)
