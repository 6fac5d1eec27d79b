"""`pause`, `resume`, `cancel`: orders to a running campaign."""

import click

from core.commands import Desk, acting_user, counted, json_option, print_json
from core.errors import PlanError


def _ordered(desk: Desk, campaign: str, verb: str, *, as_json: bool) -> None:
    from campaigns.control import is_scheduled, order
    from campaigns.events.invitation import PREFIX

    if verb == "cancel" and campaign.startswith(PREFIX):
        raise PlanError(
            f"{campaign} holds the mails of an event: they cannot be cancelled by themselves",
            hint=f"to cancel the event: clarion event cancel {campaign.removeprefix(PREFIX)}",
        )
    with desk.ledger.begin() as connection:
        before = is_scheduled(connection, campaign, verb)
        changed = order(connection, campaign, verb, actor=acting_user(), now=desk.clock.now())
    what = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}[verb]
    if as_json:
        print_json({"campaign": campaign, "order": verb, "runs": changed})
    elif changed:
        click.echo(f"{campaign}: {what} {counted(len(changed), 'run')}")
    elif before:
        click.echo(f"{campaign}: {what}; no run of it was under way")
    else:
        already = {"pause": "is paused already", "resume": "was not paused", "cancel": "is cancelled already"}[verb]
        click.echo(f"{campaign}: {already}; nothing was changed")


@click.command()
@click.argument("campaign")
@json_option
@click.pass_obj
def pause(desk: Desk, campaign: str, as_json: bool) -> None:
    """Hand over nothing more of CAMPAIGN until it is resumed."""
    _ordered(desk, campaign, "pause", as_json=as_json)


@click.command()
@click.argument("campaign")
@json_option
@click.pass_obj
def resume(desk: Desk, campaign: str, as_json: bool) -> None:
    """Go on where CAMPAIGN was paused."""
    _ordered(desk, campaign, "resume", as_json=as_json)


@click.command()
@click.argument("campaign")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def cancel(desk: Desk, campaign: str, yes: bool, as_json: bool) -> None:
    """End the run of CAMPAIGN for good: what was not handed over never will be.

    Only `clarion send CAMPAIGN --again` starts it anew, for those who have no message of it.
    """
    if not yes:
        click.confirm(f"Cancel {campaign} for good?", abort=True, err=True)
    _ordered(desk, campaign, "cancel", as_json=as_json)
