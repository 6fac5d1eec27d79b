"""`clarion retention`: how long anything is kept, and what is over."""

import click

from core.commands import Desk, acting_user, in_zone, json_option, print_json, print_table
from customers.rights.commands.shared import keep_tombstones


@click.group()
def retention() -> None:
    """How long what is kept is kept (`retention` in clarion.yaml); the scheduler sees to it once a day."""


@retention.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk, as_json: bool) -> None:
    """List the classes of data, and how long each is kept."""
    from core.units import format_duration
    from customers.rights.classes import CLASSES

    settings = desk.workspace.settings.retention
    rows = [
        {"class": each.name, "kept_for": format_duration(length) if length else None,
         "tables": ", ".join(dict.fromkeys(rule.table for rule in each.rules))}
        for each in CLASSES for length in [each.kept_for(settings)]
    ]  # fmt: skip
    if as_json:
        print_json({"classes": rows})
    else:
        print_table([{**row, "kept_for": row["kept_for"] or "for good"} for row in rows])


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@json_option
@click.pass_obj
def run(desk: Desk, dry_run: bool, as_json: bool) -> None:
    """Remove what was kept long enough.

    Repeating it does no harm. What a dry run counts is what a run at that time removes.
    """
    from dataclasses import asdict

    from customers.rights import retention as keeping

    outcomes = keeping.run(
        desk.database, desk.workspace.settings.retention,
        now=desk.clock.now(), dry_run=dry_run, actor=acting_user(),
    )  # fmt: skip
    if not dry_run:
        keep_tombstones(desk)
    if as_json:
        print_json({"dry_run": dry_run, "outcomes": [asdict(one) for one in outcomes]})
        return
    done = {True: "removed", False: "emptied"}
    rows = [
        {"class": one.data_class, "table": one.table, "older_than": one.before, "rows": one.rows,
         "": done[one.deleted] if not dry_run else f"would be {done[one.deleted]}"}
        for one in outcomes
    ]  # fmt: skip
    print_table(in_zone(rows, desk.zone))
