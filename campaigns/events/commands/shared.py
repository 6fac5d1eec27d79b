"""What the commands about events have in common."""

from typing import Any

import click

from core.commands import DRY, print_json, print_table, remark

event_argument = click.argument("name", metavar="EVENT")
people_argument = click.argument("keys", metavar="KEY…", nargs=-1, required=True)
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and keep nothing of it.")


def tell(rows: list[dict[str, Any]], dry_run: bool, as_json: bool) -> None:
    """What became of each person's registration is told."""
    if as_json:
        print_json({"registrations": rows, "dry_run": dry_run})
        return
    print_table(rows)
    if dry_run:
        remark(DRY.strip())
