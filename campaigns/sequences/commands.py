"""`clarion sequence` and `clarion enrol`: who is where in sequences, who enters, and who leaves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from campaigns.commands.ordering import given_options
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

if TYPE_CHECKING:
    from campaigns.sequences.overview import Overview


@click.group("sequence")
def sequence() -> None:
    """Sequences: who is where, and who leaves.

    `clarion plan` and `clarion apply` bring a sequence into force; `clarion pause`, `resume` and `cancel` stop it.
    """


@sequence.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk, as_json: bool) -> None:
    """List the sequences in force, with how many people are on their way."""
    from campaigns.sequences.overview import listed

    with desk.ledger.begin() as connection:
        documents = [each.document() for each in listed(connection)]
    if as_json:
        kept = [{key: value for key, value in row.items() if key != "steps"} for row in documents]
        print_json({"sequences": kept})
        return
    rows = [row | {"ended": sum(row["ended"].values())} for row in documents]
    print_table(
        in_zone(rows, desk.zone), ("sequence", "state", "topic", "since", "entered", "active", "ended", "fault")
    )


@sequence.command("show")
@click.argument("name")
@json_option
@click.pass_obj
def show(desk: Desk, name: str, as_json: bool) -> None:
    """Show where people are in the sequence NAME: how many wait at each step, and what it came to for the others."""
    from campaigns.sequences.overview import shown

    with desk.ledger.begin() as connection:
        found = shown(connection, name)
    if as_json:
        print_json(found.document())
        return
    _print_heads(found)
    _print_steps(found, desk.zone)


@sequence.command("exit")
@click.argument("key", metavar="KEY")
@click.argument("name")
@click.option("--key", "entry_key", help="Only the passage with this key, such as an order's number.")
@click.option("--because", required=True, help="Why; kept with the passage.")
@json_option
@click.pass_obj
def exit_(desk: Desk, key: str, name: str, entry_key: str | None, because: str, as_json: bool) -> None:
    """Take the customer KEY out of the sequence NAME. What was sent stays sent."""
    from campaigns.commands.persons import person_of
    from campaigns.sequences.orders import exit_customer

    with desk.database.begin() as connection:
        person = person_of(desk, connection, key)
        ended = exit_customer(
            connection, name, person["id"], key=entry_key, actor=acting_user(), because=because, now=desk.clock.now()
        )
    if as_json:
        print_json({"sequence": name, "customer": person["external_id"], "enrolments": ended})
    elif ended:
        click.echo(f"{person['external_id']}: left {name} ({counted(len(ended), 'passage')})")
    else:
        click.echo(f"{person['external_id']}: was not on the way through {name}; nothing was changed")


@click.command()
@click.argument("key", metavar="KEY")
@click.argument("name", metavar="SEQUENCE")
@click.option("--key", "entry_key", default="", help="Tells passages of one customer apart, such as an order's number.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@given_options
@json_option
@click.pass_obj
def enrol(
    desk: Desk, key: str, name: str, entry_key: str, dry_run: bool, as_json: bool, given: Mapping[str, Any]
) -> None:
    """Let the customer KEY (external id or e-mail address) enter SEQUENCE.

    The segment or activity of its `enrol` is not asked, `again` is. Who is on the way through it already goes on as
    they were. What is given is known to its mails and rules as given.…
    """
    from campaigns.commands.persons import person_of
    from campaigns.sequences import enrol as enrolling

    with undone(desk, dry_run) as connection:
        person = person_of(desk, connection, key)
        done = enrolling.enrol(
            connection, name, person["id"], key=entry_key, given=given, source=enrolling.OPERATOR, now=desk.clock.now()
        )
    if as_json:
        print_json({
            "sequence": name, "customer": person["external_id"], "enrolment": done.enrolment_id, "new": done.is_new,
            "because": done.because, "dry_run": dry_run,
        })  # fmt: skip
    elif done.is_new:
        click.echo(f"{person['external_id']}: entered {name}{DRY if dry_run else ''}")
    else:
        click.echo(f"{person['external_id']}: {done.because}; nothing was added")


# --- `clarion status` of a sequence ------------------------------------------------------------------------------


def print_status(desk: Desk, name: str, *, check: bool, as_json: bool) -> None:
    """The sequence and the messages of its steps; with `check`, exit 1 when something does not balance."""
    from campaigns.commands.answers import print_runs
    from campaigns.sequences.overview import shown
    from campaigns.status import summed

    with desk.ledger.begin() as connection:
        found = shown(connection, name)
    broken = [*found.broken, *(f"run {row.run}: {rule}" for row in found.runs for rule in row.broken)]
    if as_json:
        head = {"campaign": found.record.name} | found.document() | summed(found.runs)
        print_json(head | {"balanced": not broken, "broken": broken})
    else:
        _print_heads(found)
        _print_steps(found, desk.zone)
        if found.runs:
            click.echo()
            print_runs(found.runs)
    for line in broken:
        remark(f"does not balance: {line}")
    if check and broken:
        raise click.exceptions.Exit(1)
    if check and not as_json:
        click.echo(f"balanced: {counted(found.entered, 'passage')}, every step and message accounted for")


def _print_heads(found: "Overview") -> None:
    record = found.record
    headline(f"{record.name}: {record.state.value}")
    if record.fault:
        click.echo(f"  {record.fault}")
    click.echo(f"  {found.entered:,} entered, {found.active:,} on their way")
    if number := sum(found.former.values()):
        click.echo(f"  {number:,} of them in earlier versions")
    for because, heads in found.ended.items():
        click.echo(f"  {heads:,} ended: {because}")


def _print_steps(found: "Overview", zone: str) -> None:
    rows = []
    for step in found.steps:
        outcomes = ", ".join(f"{heads:,} {outcome}" for outcome, heads in step.outcomes.items())
        rows.append({
            "step": step.step, "does": step.action, "waiting": step.waiting, "next_at": step.next_at, "done": outcomes,
        })  # fmt: skip
    print_table(in_zone(rows, zone), ("step", "does", "waiting", "next_at", "done"))
