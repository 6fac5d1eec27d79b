"""`pause`, `resume`, `cancel`: orders to a running campaign."""

import click

from core.commands import Desk, acting_user, counted


def _ordered(desk: Desk, campaign: str, verb: str) -> None:
    from campaigns.control import order

    with desk.database.begin() as connection:
        changed = order(connection, campaign, verb, actor=acting_user(), now=desk.clock.now())
    what = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}[verb]
    click.echo(f"{campaign}: {what} {counted(len(changed), 'run')}")


@click.command()
@click.argument("campaign")
@click.pass_obj
def pause(desk: Desk, campaign: str) -> None:
    """Hand over nothing more of CAMPAIGN until it is resumed."""
    _ordered(desk, campaign, "pause")


@click.command()
@click.argument("campaign")
@click.pass_obj
def resume(desk: Desk, campaign: str) -> None:
    """Go on where CAMPAIGN was paused."""
    _ordered(desk, campaign, "resume")


@click.command()
@click.argument("campaign")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def cancel(desk: Desk, campaign: str, yes: bool) -> None:
    """End CAMPAIGN for good: what was not handed over never will be."""
    if not yes:
        click.confirm(f"Cancel {campaign} for good?", abort=True, err=True)
    _ordered(desk, campaign, "cancel")
