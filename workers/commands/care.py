"""The commands that look after the database and say what is missing."""

from typing import Any

import click

from core.commands import Desk, counted, json_option, print_json, print_table
from core.errors import ConfigError, EngineError, ServiceError
from workers.commands.inbound_checks import inbound_rows
from workers.commands.processes import broker_of


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
    checks = _without_settings(desk) or [
        *(_checked(name, check, desk) for name, check in _CHECKS), *_transport_rows(desk), *inbound_rows(desk),
    ]  # fmt: skip
    if as_json:
        print_json({"healthy": all(row["ok"] for row in checks), "checks": checks})
    else:
        print_table(checks, ("ok", "check", "detail"))
    if not all(row["ok"] for row in checks):
        raise click.exceptions.Exit(1)


def _without_settings(desk: Desk) -> list[dict[str, Any]]:
    """Where clarion.yaml has mistakes: the row that says so, and that nothing else could be looked at; else none."""
    try:
        _ = desk.workspace.settings
    except ConfigError:
        files, *others = _CHECKS
        unseen = "not looked at: that needs clarion.yaml without mistakes"
        return [_checked(*files, desk), *({"check": name, "ok": False, "detail": unseen} for name, _ in others)]
    return []


def _checked(name: str, check: Any, desk: Desk) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": check(desk)}
    except EngineError as error:
        return {"check": name, "ok": False, "detail": error.message.splitlines()[0]}


def _check_files(desk: Desk) -> str:
    from campaigns.catalogue import load

    catalogue = load(desk.workspace)
    counts = [
        counted(len(catalogue.campaigns), "campaign"), counted(len(catalogue.sequences), "sequence"),
        counted(len(catalogue.events), "event"), counted(len(catalogue.segments), "segment"),
    ]  # fmt: skip
    return ", ".join(counts)


def _check_database(desk: Desk) -> str:
    from core.migrate import current_revision

    return f"schema {current_revision(desk.database)}"


def _check_broker(desk: Desk) -> str:
    from kombu.exceptions import OperationalError

    from workers.celery_app import make_app

    try:
        with make_app(broker_of(desk)).connection_for_write() as connection:
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
    import socket

    web = desk.workspace.settings.web
    try:
        socket.create_connection((web.host, web.port), timeout=1).close()
    except OSError:
        raise ServiceError(f"nothing answers at {web.host}:{web.port}; start it with `clarion up`") from None
    return desk.workspace.settings.tracking.base_url


def _transport_rows(desk: Desk) -> list[dict[str, Any]]:
    """One row for each transport: whether it takes mail, and what holds it, though it may answer again by now."""
    from delivery.greeting import greet

    try:
        workspace = desk.workspace
        found = greet(workspace.settings.transports, workspace.root)
    except EngineError:  # the files have a row of their own
        return []
    held = _held(desk)
    rows = []
    for greeted in found:
        hold = held.pop(f"transport {greeted.transport}", "")
        detail = "; ".join(filter(None, (greeted.detail, hold)))
        rows.append({"check": f"transport {greeted.transport}", "ok": not (greeted.fault or hold), "detail": detail})
    return [*rows, *({"check": name, "ok": False, "detail": text} for name, text in held.items())]


def _held(desk: Desk) -> dict[str, str]:
    """What is held, in a sentence each; nothing where no database says so."""
    from delivery.overview import held_by_name

    try:
        with desk.database.begin() as connection:
            return held_by_name(connection)
    except EngineError:
        return {}


def _check_dkim(desk: Desk) -> str:
    dkim = desk.workspace.settings.dkim
    if not dkim:
        return "nothing is signed here (the relay may do it)"
    from delivery.dkim import key_remarks, signers

    found = signers(dkim, desk.workspace.root)
    parts = [f"{domain} signs with {signer.shown}" for domain, signer in found.items()]
    return "; ".join([*parts, *key_remarks(dkim, desk.workspace.root)])


_CHECKS = (
    ("files", _check_files),
    ("dkim", _check_dkim),
    ("database", _check_database),
    ("broker", _check_broker),
    ("processes", _check_processes),
    ("web", _check_web),
)
