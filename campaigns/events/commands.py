"""`clarion event`: events, who comes to them, and who waits."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.commands import (
    DRY,
    Desk,
    acting_user,
    counted,
    headline,
    in_zone,
    json_option,
    print_json,
    print_table,
    remark,
    undone,
)
from core.errors import PlanError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from campaigns.events.afterwards import Change

_COLUMNS: Final = ("registration", "state", "customer", "email", "first_name", "last_name", "source", "checked_in_at",
                   "last_mail", "mail_state")  # fmt: skip
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and keep nothing of it.")


@click.group()
def event() -> None:
    """Events: who comes, who waits, and what they are told.

    EVENT is the name of a file in events/, without its ending; `clarion apply` opens, moves and cancels it by its file.
    KEY is an external id or an e-mail address.
    """


@event.command("list")
@click.option("--past", is_flag=True, help="Those that are over, too.")
@json_option
@click.pass_obj
def list_(desk: Desk, past: bool, as_json: bool) -> None:
    """List the events that were applied, with their seats."""
    from campaigns.events.listing import listed

    with desk.database.begin() as connection:
        rows = list(listed(connection, desk.clock.now(), past=past))
    print_json({"events": rows}) if as_json else print_table(in_zone(rows, _zone(desk)))


@event.command()
@click.argument("name", metavar="EVENT")
@json_option
@click.pass_obj
def show(desk: Desk, name: str, as_json: bool) -> None:
    """Show one event: its times, seats, mails, and who registered."""
    from campaigns.events.listing import attendees, shown

    with desk.database.begin() as connection:
        facts, people = shown(connection, name, desk.clock.now()), attendees(connection, name)
    if as_json:
        print_json(facts | {"registrations": people})
        return
    headline(f"{name}: {facts['title']}")
    (told,) = in_zone([facts], facts["zone"])
    for key in ("starts_at", "ends_at", "place", "online", "state", "capacity", "confirmed", "offered", "waiting",
                "checked_in", "registration_opens_at", "registration_closes_at"):  # fmt: skip
        click.echo(f"  {key.replace('_', ' '):<22} {'–' if told[key] is None else told[key]}")
    for rows in (in_zone(facts["reminders"], facts["zone"]), facts["mails"]):
        if rows:
            click.echo()
            print_table(rows)
    click.echo()
    print_table(in_zone(people, facts["zone"]), _COLUMNS)


def _zone(desk: Desk) -> str:
    return desk.workspace.settings.organisation.zone


@event.command()
@click.argument("name", metavar="EVENT")
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
@click.option("--answer", "pairs", multiple=True, metavar="FIELD=VALUE", help="An answer, of one attendee alone.")
@_dry_run
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
    from core.ids import address_key

    rows = []
    with undone(desk, dry_run) as connection:
        orders = [(key, _order(desk, connection, name, key, _answers(pairs, keys))) for key in keys]
        secret = desk.workspace.secret
        registering.hold(
            connection, name, (address_key(secret, order.attendees[0].address.comparable) for _, order in orders)
        )  # fmt: skip
        for key, order in orders:
            done = registering.register(connection, Circumstances.of(desk.workspace), name, order, desk.clock.now())
            rows += [{"key": key, "answer": done.answer, **_placed(done)}]
    _tell(rows, dry_run, as_json)
    if any(row["answer"] != "received" for row in rows):
        raise click.exceptions.Exit(1)


def _answers(pairs: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, str]:
    if pairs and len(keys) > 1:
        raise UsageError(f"--answer is of one attendee (got {len(keys)})", hint="register them one by one")
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"not an answer (got {pair!r}, expected field=value)")
    return dict(pair.split("=", 1) for pair in pairs)


def _order(desk: Desk, connection: "Connection", name: str, key: str, answers: dict[str, str]) -> Any:
    from campaigns.events.held import event_of
    from campaigns.events.importing import mistakes
    from campaigns.events.registering import Attendee, Order, Source
    from core.addresses import parse_address
    from customers.identity import find_customer

    definition = event_of(connection, name).definition
    if (mistake := next(mistakes(definition, answers), None)) is not None:
        raise UsageError(mistake)
    known = find_customer(connection, key, desk.workspace.secret)
    if known is not None and known["email"] is None:
        raise PlanError(f"{key} has no e-mail address: nothing can be sent to them")
    address = parse_address(key if known is None else known["email"])
    language = None if known is None else known["language"]
    return Order((Attendee(address, answers, language),), Source.OPERATOR, f"operator:{address.comparable}"[:200])


def _placed(done: Any) -> dict[str, Any]:
    if not done.placed:
        return {"registration": None, "state": None, "is_new": False}
    (one,) = done.placed
    return {"registration": one.registration_id, "state": one.seat, "is_new": one.is_new}


def _tell(rows: list[dict[str, Any]], dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"registrations": rows, "dry_run": dry_run})
        return
    print_table(rows)
    if dry_run:
        remark(DRY.strip())


def _one(
    desk: Desk, name: str, keys: tuple[str, ...], dry_run: bool, as_json: bool, action: str,
    do: "Callable[[Connection, int, datetime], Change]",
) -> None:  # fmt: skip
    """The same is done with each person's registration, and what it came to is told."""
    from campaigns.commands.persons import person_of
    from campaigns.events.held import event_of
    from campaigns.events.listing import registration_id
    from core import audit
    from customers.identity import key_of_address

    rows, now = [], desk.clock.now()
    with undone(desk, dry_run) as connection:
        event_of(connection, name)
        for key in keys:
            hashed = key_of_address(key, desk.workspace.secret)
            number = registration_id(connection, name, person_of(desk, connection, key), hashed)
            change = do(connection, number, now)
            rows.append({"key": key, "registration": number, "outcome": change})
            if change == "done":
                audit.record(connection, acting_user(), action, f"event:{name}", at=now, registration=number)
    _tell(rows, dry_run, as_json)
    if any(row["outcome"] in ("too_late", "gone") for row in rows):
        raise click.exceptions.Exit(1)


_people = click.argument("keys", metavar="KEY…", nargs=-1, required=True)
_name = click.argument("name", metavar="EVENT")


@event.command()
@_name
@_people
@_dry_run
@json_option
@click.pass_obj
def withdraw(desk: Desk, name: str, keys: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take registrations back: a mail says so, calendars forget the event, and the seats go to those who wait."""
    from campaigns.duty import Circumstances
    from campaigns.events import afterwards

    of = Circumstances.of(desk.workspace)
    _one(
        desk, name, keys, dry_run, as_json, "event.withdraw",
        lambda connection, number, now: afterwards.withdraw(connection, of, number, now, because="staff"),
    )  # fmt: skip


@event.command()
@_name
@_people
@_dry_run
@json_option
@click.pass_obj
def accept(desk: Desk, name: str, keys: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take an offered seat for people who said so on the telephone."""
    from campaigns.duty import Circumstances
    from campaigns.events import afterwards

    of = Circumstances.of(desk.workspace)
    _one(desk, name, keys, dry_run, as_json, "event.accept",
         lambda connection, number, now: afterwards.accept_offer(connection, of, number, now))  # fmt: skip


@event.command("check-in")
@_name
@_people
@click.option("--undo", is_flag=True, help="It was a mistake: they are not here.")
@_dry_run
@json_option
@click.pass_obj
def check_in(desk: Desk, name: str, keys: tuple[str, ...], undo: bool, dry_run: bool, as_json: bool) -> None:
    """Say who came."""
    from campaigns.events import afterwards

    _one(desk, name, keys, dry_run, as_json, "event.check-in",
         lambda connection, number, now: afterwards.check_in(connection, name, number, now, undo=undo))  # fmt: skip


@event.command()
@_name
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def cancel(desk: Desk, name: str, yes: bool, as_json: bool) -> None:
    """Cancel the whole event, for good: everybody is told, calendars forget it, nothing more goes out.

    To keep the file right, set `cancelled: true` in it as well.
    """
    from campaigns.events import applying, seats
    from campaigns.events.held import event_of

    with desk.database.begin() as connection:
        counts = seats.count(connection, event_of(connection, name))
    mails = counts.confirmed + counts.offered + counts.waiting
    if not yes:
        click.confirm(f"Cancel {name}, and tell {counted(mails, 'person', 'people')}?", abort=True, err=True)
    with desk.database.begin() as connection:
        is_new = applying.cancel(connection, name, desk.clock.now(), actor=acting_user())
    if as_json:
        print_json({"event": name, "is_new": is_new, "mails": mails if is_new else 0})
    else:
        click.echo(f"{name} is cancelled{'' if is_new else ' (it was so before)'}")


@event.command("import")
@_name
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--again", is_flag=True, help="Those who had withdrawn or declined, too.")
@_dry_run
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
    if as_json:
        refused = [{"line": one.line, "why": one.why} for one in done.refused]
        print_json({"event": name, **done.counts, "rejected": refused, "dry_run": dry_run})
        return
    print_table([dict(done.counts)])
    for one in done.refused:
        remark(f"{file.name}:{one.line}: {one.why}")
    if dry_run:
        remark(DRY.strip())


@event.command()
@_name
@click.option("--days", type=click.IntRange(1, 60), default=2, show_default=True, help="Good until so long after it.")
@click.pass_obj
def door(desk: Desk, name: str, days: int) -> None:
    """Print the link for the staff at the door, who check in whoever comes. Whoever has it can see all attendees."""
    from campaigns.events.held import event_of
    from tracking.public_links import PublicLinks

    with desk.database.begin() as connection:
        ends_at = event_of(connection, name).ends_at + timedelta(days=days)
    click.echo(PublicLinks.of(desk.workspace).check_in(name, ends_at))
