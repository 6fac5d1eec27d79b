"""`clarion customer merge` and `clarion customer duplicates`."""

from typing import TYPE_CHECKING, Any

import click

from core.commands import DRY, Desk, acting_user, json_option, print_json, print_table, remark, undone

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


@click.command("merge")
@click.argument("key", metavar="KEY")
@click.argument("into", metavar="INTO")
@click.option("--because", required=True, help="Why they are one; kept with the former name.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@json_option
@click.pass_obj
def merge(desk: Desk, key: str, into: str, because: str, dry_run: bool, as_json: bool) -> None:
    """Make the customer KEY part of the customer INTO.

    Everything KEY ever bought, did, said and was sent becomes INTO's. Where both said something about a topic the
    stricter word holds, and who was suppressed stays so. KEY's external id and address go on to mean INTO, also in
    files that are imported later. This cannot be undone.
    """
    from dataclasses import asdict

    from customers import metrics
    from customers.merging.merge import merge as merge_customers

    now = desk.clock.now()
    with undone(desk, dry_run) as connection:
        merged_id, into_id = (_row(desk, connection, named)["id"] for named in (key, into))
        merged = merge_customers(connection, merged_id, into_id, because=because, actor=acting_user(), now=now)
    if not dry_run:
        with desk.database.begin() as connection:  # opt-outs do not wait for it
            metrics.refresh(connection, desk.workspace.settings.tiers, now=now)
    if as_json:
        print_json({**asdict(merged), "dry_run": dry_run})
        return
    remark(f"{merged.merged} is part of {merged.into}{DRY if dry_run else ''}")
    print_table([{"rows_of": name, "moved": number} for name, number in merged.moved.items()])
    for number, what in ((merged.consents, "consents made stricter"), (merged.suppressions, "suppressions followed")):
        if number:
            remark(f"{number:,} {what}")


def _row(desk: Desk, connection: "Connection", key: str) -> "RowMapping":
    from core.errors import NotFound
    from customers.identity import find_customer

    row = find_customer(connection, key, desk.workspace.secret)
    if row is None:
        raise NotFound(f"there is no customer {key!r}", hint="give the external id or the e-mail address")
    return row


@click.command("duplicates")
@click.option("--most", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many of each.")
@json_option
@click.pass_obj
def duplicates(desk: Desk, most: int, as_json: bool) -> None:
    """Suggest customers who may be one and the same, and addresses that look mistyped.

    Nothing is changed: look, then `clarion customer merge`. The likeliest come first, each with the reasons.
    """
    from dataclasses import asdict

    from customers.duplicates import suggestions
    from customers.typos import mistyped

    with desk.database.begin() as connection:
        pairs = suggestions(connection, most=most)
        typos = mistyped(connection, most=most)
    if as_json:
        print_json({"duplicates": [asdict(pair) for pair in pairs], "typos": [asdict(typo) for typo in typos]})
        return
    print_table([_pair_row(asdict(pair)) for pair in pairs])
    if typos:
        click.echo("\naddresses that look mistyped")
        print_table([asdict(typo) for typo in typos])


def _pair_row(pair: dict[str, Any]) -> dict[str, Any]:
    return {**pair, "reasons": ", ".join(pair["reasons"])}
