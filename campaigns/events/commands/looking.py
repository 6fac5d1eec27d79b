"""`clarion event list`, `show` and `door`: what is so, changing nothing."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from campaigns.events.commands.shared import event_argument
from core.commands import Desk, headline, in_zone, json_option, print_json, print_table, remark, writing

_FACTS: Final = ("starts_at", "ends_at", "place", "online", "state", "capacity", "confirmed", "offered", "waiting",
                 "checked_in", "registration_opens_at", "registration_closes_at")  # fmt: skip
_COLUMNS: Final = ("registration", "state", "customer", "email", "first_name", "last_name", "source", "checked_in_at",
                   "last_mail", "mail_state")  # fmt: skip


@click.command("list")
@click.option("--past", is_flag=True, help="Those that are over, too.")
@json_option
@click.pass_obj
def list_(desk: Desk, past: bool, as_json: bool) -> None:
    """List the events that were applied, with their seats."""
    from campaigns.events.listing import listed

    with desk.database.begin() as connection:
        rows = list(listed(connection, desk.clock.now(), past=past))
    print_json({"events": rows}) if as_json else print_table(in_zone(rows, desk.workspace.settings.organisation.zone))


@click.command()
@event_argument
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write who registered, with names and answers, as a table.")  # fmt: skip
@json_option
@click.pass_obj
def show(desk: Desk, name: str, csv_file: Path | None, as_json: bool) -> None:
    """Show one event: its times, seats, mails, and who registered."""
    from campaigns.events.guests import write_guests
    from campaigns.events.held import event_of
    from campaigns.events.listing import attendees, shown

    with desk.database.begin() as connection:
        facts, people = shown(connection, name, desk.clock.now()), attendees(connection, name)
        fields = tuple(event_of(connection, name).definition.registration.fields)
    if as_json:
        print_json(facts | {"registrations": people})
    else:
        _print(name, facts, people)
    if csv_file is not None:
        with writing(csv_file):
            write_guests(people, fields, csv_file)
        remark(f"wrote {len(people):,} registrations to {csv_file}")


def _print(name: str, facts: dict[str, Any], people: list[dict[str, Any]]) -> None:
    headline(f"{name}: {facts['title']}")
    (told,) = in_zone([facts], facts["zone"])
    for key in _FACTS:
        click.echo(f"  {key.replace('_', ' '):<22} {'–' if told[key] is None else told[key]}")
    for rows in (in_zone(facts["reminders"], facts["zone"]), facts["mails"]):
        if rows:
            click.echo()
            print_table(rows)
    click.echo()
    print_table(in_zone(people, facts["zone"]), _COLUMNS)


@click.command()
@event_argument
@click.option("--days", type=click.IntRange(1, 60), default=2, show_default=True, help="Good until so long after it.")
@click.pass_obj
def door(desk: Desk, name: str, days: int) -> None:
    """Print the link for the staff at the door, who check in whoever comes. Whoever has it can see all attendees."""
    from campaigns.events.held import event_of
    from tracking.public_links import PublicLinks

    with desk.database.begin() as connection:
        ends_at = event_of(connection, name).ends_at + timedelta(days=days)
    click.echo(PublicLinks.of(desk.workspace).check_in(name, ends_at))
