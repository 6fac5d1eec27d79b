"""`clarion event withdraw`, `accept`, `check-in` and `cancel`: what staff does with registrations and events."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from campaigns.events.commands.shared import dry_run_option, event_argument, people_argument, tell
from core.commands import Desk, acting_user, counted, json_option, print_json, remark, undone

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from campaigns.events.afterwards import Change
    from campaigns.events.held import HeldEvent


@click.command()
@event_argument
@people_argument
@dry_run_option
@json_option
@click.pass_obj
def withdraw(desk: Desk, name: str, keys: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take registrations back: a mail says so, calendars forget the event, and the seats go to those who wait."""
    from campaigns.duty import Circumstances
    from campaigns.events import afterwards

    of = Circumstances.of(desk.workspace)
    _with_each(
        desk, name, keys, dry_run, as_json, "event.withdraw",
        lambda connection, number, now: afterwards.withdraw(connection, of, number, now, because="staff"),
    )  # fmt: skip


@click.command()
@event_argument
@people_argument
@dry_run_option
@json_option
@click.pass_obj
def accept(desk: Desk, name: str, keys: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take an offered seat for people who said so on the telephone."""
    from campaigns.duty import Circumstances
    from campaigns.events import afterwards

    of = Circumstances.of(desk.workspace)
    _with_each(
        desk, name, keys, dry_run, as_json, "event.accept",
        lambda connection, number, now: afterwards.accept_offer(connection, of, number, now),
    )  # fmt: skip


@click.command("check-in")
@event_argument
@people_argument
@click.option("--undo", is_flag=True, help="It was a mistake: they are not here.")
@dry_run_option
@json_option
@click.pass_obj
def check_in(desk: Desk, name: str, keys: tuple[str, ...], undo: bool, dry_run: bool, as_json: bool) -> None:
    """Say who came."""
    from campaigns.events import afterwards
    from campaigns.events.held import event_of

    if not undo:
        with desk.database.begin() as connection:
            _remark_early(event_of(connection, name), desk.clock.now())
    _with_each(
        desk, name, keys, dry_run, as_json, "event.check-in",
        lambda connection, number, now: afterwards.check_in(connection, name, number, now, undo=undo),
    )  # fmt: skip


def _remark_early(held: "HeldEvent", now: datetime) -> None:
    """Whoever checks people in on a day before the event is told so: it may be another one's list."""
    from campaigns.events.wording import moment

    if held.begins_later(now):
        begins = moment(held.starts_at, held.zone, "en")
        remark(f"remark: {held.name} begins on {begins}; who is checked in now counts as having come (--undo)")


@click.command()
@event_argument
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


def _with_each(
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
    tell(rows, dry_run, as_json)
    if any(row["outcome"] in ("too_late", "gone") for row in rows):
        raise click.exceptions.Exit(1)
