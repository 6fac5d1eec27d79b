"""`clarion feedback`: what receivers, providers and people reported, and what followed from it."""

from datetime import timedelta
from typing import Final

import click

from core.commands import Desk, in_zone, json_option, print_json, print_table
from core.units import parse_duration

#: The same as `tracking.feedback.FeedbackKind` (a test compares them).
KINDS: Final = (
    "delivered", "hard", "soft", "mailbox_full", "block", "message_fault", "delayed", "complaint", "auto_reply",
    "unsubscribe", "reply", "opened", "clicked", "unknown",
)  # fmt: skip


def _length(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_since = click.option(
    "--since", "length", callback=_length, default="7d", show_default=True, metavar="DURATION", help="How far back."
)


@click.group()
def feedback() -> None:
    """Show what came back: bounces, complaints, replies, and what providers report."""


@feedback.command("list")
@click.argument("key", required=False, metavar="[KEY]")
@click.option("--kind", type=click.Choice(KINDS), help="Only events of this kind.")
@click.option(
    "--limit", "most", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many."
)
@json_option
@click.pass_obj
def list_(desk: Desk, key: str | None, kind: str | None, most: int, as_json: bool) -> None:
    """List the latest events, the newest first; of one person, when KEY names one.

    `counts: no`: nobody vouches for the event, so nothing follows from it.
    """
    from campaigns.feedback.listing import events
    from suppression.people import keys_of

    with desk.database.begin() as connection:
        asked = keys_of(connection, desk.workspace.secret, key) if key else [None]
        found = [row for each in asked for row in events(connection, key=each, kind=kind, most=most)]
        rows = sorted(found, key=lambda row: row["recorded_at"], reverse=True)[:most] if len(asked) > 1 else found
    if as_json:
        print_json({"events": rows})
    else:
        columns = ("occurred_at", "kind", "source", "customer", "campaign", "status", "counts", "effect")
        print_table(in_zone(rows, desk.zone), columns)


@feedback.command("counts")
@_since
@json_option
@click.pass_obj
def counts(desk: Desk, length: timedelta, as_json: bool) -> None:
    """Count events by source and kind; `unknown` are those nobody has a word for yet."""
    from campaigns.feedback import listing

    with desk.database.begin() as connection:
        rows = listing.counts(connection, since=desk.clock.now() - length)
    if as_json:
        print_json({"counts": rows})
    else:
        print_table(rows, ("source", "kind", "events", "unproven"))


@feedback.command("shares")
@_since
@json_option
@click.pass_obj
def shares(desk: Desk, length: timedelta, as_json: bool) -> None:
    """Show which share of each day's messages to a domain was reported as spam, and how many went to Gmail."""
    from zoneinfo import ZoneInfo

    from campaigns.feedback.complaints import shares as shares_since
    from campaigns.feedback.listing import to_gmail

    settings = desk.workspace.settings
    zone = settings.organisation.zone
    since = (desk.clock.now() - length).astimezone(ZoneInfo(zone)).date()
    with desk.database.begin() as connection:
        found = shares_since(connection, since=since, zone=zone)
        gmail = to_gmail(connection, since=since)
    rows = [
        {"domain": one.domain, "day": one.day, "complained": one.complained, "reached": one.reached, "share": one.value}
        for one in found
    ]
    if as_json:
        print_json({"shares": rows, "gmail": gmail})
        return
    print_table(
        [{**row, "share": f"{row['share']:.2%}"} for row in rows], ("day", "domain", "complained", "reached", "share")
    )
    if gmail:
        click.echo()
        print_table(gmail, ("day", "sender_domain", "messages"))
