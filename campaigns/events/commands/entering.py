"""`clarion event register` and `import`: staff brings people in."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from campaigns.events.commands.shared import dry_run_option, event_argument, people_argument, tell
from core.commands import DRY, Desk, acting_user, json_option, print_json, print_table, remark, undone
from core.errors import NotFound, PlanError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from campaigns.events.definition import EventFile
    from campaigns.events.registering import Order, Registered


@click.command()
@event_argument
@people_argument
@click.option("--answer", "pairs", multiple=True, metavar="FIELD=VALUE", help="An answer, of one attendee alone.")
@dry_run_option
@json_option
@click.pass_obj
def register(
    desk: Desk, name: str, keys: tuple[str, ...], pairs: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Register people: known ones by external id or address, others by their address. They are told by mail.

    Staff may register while the form is closed, until the event ends.
    """
    from campaigns.duty import Circumstances
    from campaigns.events import registering
    from campaigns.events.held import event_of
    from core.ids import address_key

    rows = []
    with undone(desk, dry_run) as connection:
        answers = _answers(event_of(connection, name).definition, pairs, keys)
        orders = [(key, _order(desk, connection, key, answers)) for key in keys]
        secret = desk.workspace.secret
        registering.hold(
            connection, name, (address_key(secret, order.attendees[0].address.comparable) for _, order in orders)
        )  # fmt: skip
        for key, order in orders:
            done = registering.register(connection, Circumstances.of(desk.workspace), name, order, desk.clock.now())
            rows.append({"key": key, "answer": done.answer, **_placed(done)})
    tell(rows, dry_run, as_json)
    if any(row["answer"] != "received" for row in rows):
        raise click.exceptions.Exit(1)


def _answers(definition: "EventFile", pairs: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, str]:
    from campaigns.events.answers import read

    if pairs and len(keys) > 1:
        raise UsageError(f"--answer is of one attendee (got {len(keys)})", hint="register them one by one")
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"not an answer (got {pair!r}, expected field=value)")
    answers, mistakes = read(definition, dict(pair.split("=", 1) for pair in pairs), is_asked=False)
    if mistakes:
        raise UsageError("; ".join(map(str, mistakes)))
    return answers


def _order(desk: Desk, connection: "Connection", key: str, answers: dict[str, str]) -> "Order":
    from campaigns.events.registering import Attendee, Order, Source
    from core.addresses import parse_address
    from customers.identity import find_customer

    known = find_customer(connection, key, desk.workspace.secret)
    if known is None and "@" not in key:
        raise NotFound(f"no customer {key!r}", hint="give the external id of a customer, or anybody's e-mail address")
    if known is not None and known["email"] is None:
        raise PlanError(f"{key} has no e-mail address: nothing can be sent to them")
    address = parse_address(key if known is None else known["email"])
    language = None if known is None else known["language"]
    return Order((Attendee(address, answers, language),), Source.OPERATOR, f"operator:{address.comparable}"[:200])


def _placed(done: "Registered") -> dict[str, Any]:
    if not done.placed:
        return {"registration": None, "state": None, "is_new": False}
    (one,) = done.placed
    return {"registration": one.registration_id, "state": one.seat, "is_new": one.is_new}


@click.command("import")
@event_argument
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--again", is_flag=True, help="Those who had withdrawn or declined, too.")
@dry_run_option
@json_option
@click.pass_obj
def import_(desk: Desk, name: str, file: Path, again: bool, dry_run: bool, as_json: bool) -> None:
    """Register everybody whom a CSV file lists: `email`, `language`, names, and the fields of the event.

    Who withdrew or declined is not registered again by a list, unless --again says so.
    """
    from campaigns.duty import Circumstances
    from campaigns.events.importing import foreseen, import_file

    of, now = Circumstances.of(desk.workspace), desk.clock.now()
    if dry_run:
        with desk.database.begin() as connection:
            done = foreseen(connection, of, name, file, now, again=again)
    else:
        done = import_file(desk.database, of, name, file, now, actor=acting_user(), again=again)
    for text in done.remarks:
        remark(text)
    if as_json:
        refused = [{"line": one.line, "why": one.why} for one in done.refused]
        print_json({"event": name, **done.counts, "rejected": refused, "dry_run": dry_run})
        return
    print_table([dict(done.counts)])
    for one in done.refused:
        remark(f"{file.name}:{one.line}: {one.why}")
    if dry_run:
        remark(DRY.strip())
