"""`plan`, `apply`, `send`: from an intention to a run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from campaigns.commands.ordering import Order, given_options, new_key, place
from campaigns.commands.waiting import wait_for
from core.commands import Desk, acting_user, json_option, local, print_json, print_table, remark, write_file
from core.errors import EngineError, PlanError, ServiceError, UsageError, raise_together

if TYPE_CHECKING:
    from campaigns.catalogue import Catalogue
    from campaigns.plan import CampaignPlan
    from campaigns.whole_plan import Applied, WholePlan

SEND_TO: Final = "name the person: clarion send CAMPAIGN --to KEY"
#: From this many messages on, `apply` and `send` want the number typed instead of a yes.
TYPED_FROM = 1000


@click.command()
@click.argument("names", nargs=-1)
@click.option("--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan for `apply`.")
@json_option
@click.pass_obj
def plan(desk: Desk, names: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Show what would be sent to how many people, and who is left out by which rule. Nothing is changed.

    Exit code: 0 nothing to do, 1 error, 2 changes pending.
    """
    from campaigns.whole_plan import to_file

    refused: list[EngineError] = []
    made = _make_plan(desk, _files(desk), names, refused)
    if refused:
        if not as_json:
            _print_plan(made, desk.zone)
        raise_together(refused)
    if file:
        write_file(file, json.dumps(to_file(made), indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(_plan_document(made, desk.zone))
    else:
        _print_plan(made, desk.zone)
        if file:
            remark(f"\nthe plan is in {file}; carry it out with: clarion apply {file}")
    if made.pending:
        raise click.exceptions.Exit(2)


def _files(desk: Desk) -> "Catalogue":
    from campaigns.catalogue import load

    return load(desk.workspace)


def _make_plan(
    desk: Desk, catalogue: "Catalogue", names: tuple[str, ...], refused: list[EngineError] | None = None
) -> "WholePlan":
    from campaigns import whole_plan

    with desk.database.begin() as connection:
        return whole_plan.make(connection, catalogue, names, desk.clock.now(), refused)


def _plan_document(made: "WholePlan", zone: str) -> dict[str, Any]:
    from campaigns.stages import tell

    campaigns = [
        {
            "name": item.campaign,
            "audience": item.counts.audience,
            "would_send": item.counts.would_send,
            "skipped": dict(item.counts.skipped),
            "held": dict(item.counts.held),
            "skipped_later": dict(item.counts.skipped_later),
            "starts_at": item.starts_at,
            "rollout": list(item.rollout),
            **(item.way.document() if item.way is not None else {}),
            "cancelled_at": item.cancelled_at,
            "remarks": list(_remarks(item, zone)),
        }
        for item in made.mailings.campaigns
    ]
    changes = [{"campaign": item.campaign, **tell(stage)} for item in made.mailings.pending for stage in item.stages]
    others = [item for _, item in made.others]
    return {
        "campaigns": [*campaigns, *(item.document() for item in others)],
        "changes": [*changes, *(change for item in others for change in item.changes())],
    }


def _remarks(item: "CampaignPlan", zone: str) -> Iterator[str]:
    """What a person should know before they agree."""
    if item.cancelled_at is not None:
        yield (
            f"{item.campaign} was cancelled at {local(item.cancelled_at, zone)}; "
            f"this starts it anew for {item.counts.would_send:,} people"
        )
    if item.way is not None:
        yield from item.way.remarks


def _print_plan(made: "WholePlan", zone: str) -> None:
    for item in made.mailings.campaigns:
        counts = item.counts
        click.secho(item.campaign, bold=True)
        if item.is_transactional:
            click.echo(f"  transactional: sent to one person when ordered (clarion send {item.campaign} --to KEY)")
            continue
        rows = [("audience", counts.audience), ("would send", counts.would_send)]
        rows += [(f"held, {reason}", number) for reason, number in counts.held.items()]
        rows += [(f"skipped later, {reason}", number) for reason, number in counts.skipped_later.items()]
        rows += [(f"skipped, {reason}", number) for reason, number in counts.skipped.items()]
        rows += [(f"stage {n} of {len(item.rollout)}", heads) for n, heads in enumerate(item.rollout, 1)]
        width = max(len(label) for label, _ in rows)
        for label, number in rows:
            click.echo(f"  {label.ljust(width)}  {number:>12,}")
        if "already_messaged" in counts.skipped:
            click.echo(f"  already_messaged: it was sent, or waits in a run (clarion status {item.campaign})")
        if item.stages:
            starts = local(item.starts_at, zone) or "by its schedule"
            click.echo(f"  {'starts'.ljust(width)}  {starts}")
            _print_way(item, width, zone)
        else:
            click.echo("  nothing to do")
    for _, other in made.others:
        click.secho(other.name, bold=True)
        for line in other.lines():
            click.echo(f"  {line}")
    if made.pending:
        click.echo(f"\n{len(made.pending)} to carry out: {', '.join(made.pending)}")


def _print_way(item: "CampaignPlan", width: int, zone: str) -> None:
    from campaigns.outlook import shown_length

    if item.way is not None:
        route, ways = item.way.route, ", ".join(item.way.transports)
        click.echo(f"  {'by'.ljust(width)}  {route}{f' ({ways})' if ways not in ('', route) else ''}")
        if item.way.lasts is not None:
            click.echo(f"  {'takes'.ljust(width)}  about {shown_length(item.way.lasts)}, by its rate and warm-up plan")
    for text in _remarks(item, zone):
        remark(f"  remark: {text}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def apply(desk: Desk, file: Path | None, yes: bool, as_json: bool) -> None:
    """Carry out exactly the plan in FILE, or refuse. Without FILE: plan everything, ask, carry out.

    Without FILE, a campaign that was cancelled is left out: clarion send CAMPAIGN --again starts it anew.
    """
    from campaigns.whole_plan import reviewed, to_file

    if file is None:
        catalogue = _files(desk)
        made = _without_cancelled(_make_plan(desk, catalogue, ()))
        if not as_json:
            _print_plan(made, desk.zone)
        document = to_file(made)
        if made.pending and not yes:
            _ask(made)
            catalogue = _files(desk)  # they may be others by now
    else:
        document = _read_plan(file)
        reviewed(document)
        catalogue = _files(desk)
    _tell_applied(desk, _apply(desk, catalogue, document), as_json)


def _without_cancelled(made: "WholePlan") -> "WholePlan":
    for name in made.cancelled:
        again = f"clarion send {name} --again" if name in _mailings(made) else f"clarion plan {name} --out FILE"
        remark(f"left out: {name} was cancelled; `{again}` starts it anew")
    return made.without(made.cancelled)


def _mailings(made: "WholePlan") -> set[str]:
    return {item.campaign for item in made.mailings.campaigns}


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{file} is no plan file: {error}", hint="write one with `clarion plan --out FILE`") from None
    except OSError as error:
        raise PlanError(f"{file} cannot be read: {error.strerror}") from None
    return document if isinstance(document, dict) else {}


def _apply(desk: Desk, catalogue: "Catalogue", document: Mapping[str, Any]) -> "Applied":
    from campaigns.whole_plan import apply_document

    with desk.database.begin() as connection:
        return apply_document(connection, catalogue, document, desk.clock.now(), actor=acting_user())


def _ask(made: "WholePlan") -> None:
    if made.would_send:
        _confirm(made.would_send)
    else:
        click.confirm(f"Apply {', '.join(made.pending)}?", abort=True, err=True)


def _confirm(messages: int) -> None:
    if messages < TYPED_FROM:
        click.confirm(f"Send {messages:,} messages?", abort=True, err=True)
        return
    typed = click.prompt(f"Type the number of messages to send ({messages:,})", err=True)
    if typed.replace(",", "").strip() != str(messages):
        raise PlanError(f"nothing was sent (got {typed!r}, expected {messages:,})")


def _tell_applied(desk: Desk, applied: "Applied", as_json: bool) -> None:
    started, others = applied.started, applied.others
    rows = [
        {
            "campaign": item.campaign,
            "run": item.run_id,
            "audience": item.counts.audience,
            "would_send": item.counts.would_send,
        }
        for item in started
    ]
    if as_json:
        print_json({"started": rows, "changed": others})
    elif rows or others:
        for each in (rows, others):
            if each:
                print_table(each)
    else:
        click.echo("nothing to do")
    if started and not _senders(desk):
        remark("no worker is running: the messages wait until one is (`clarion up`)")


def _senders(desk: Desk) -> bool:
    from campaigns.presence import are_senders_present

    with desk.database.begin() as connection:
        return are_senders_present(connection)


@click.command()
@click.argument("campaign")
@click.option("--wait", is_flag=True, help="Come back when everything is answered.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--again", is_flag=True, help="Start a cancelled campaign anew, for those who have no message of it.")
@click.option("--to", metavar="KEY", help="Of a transactional campaign: to this person, an external id or an address.")
@click.option("--key", help="Makes the message to this person once, however often it is ordered. Default: a new one.")
@given_options
@json_option
@click.pass_obj
def send(
    desk: Desk,
    campaign: str,
    wait: bool,
    yes: bool,
    again: bool,
    to: str | None,
    key: str | None,
    given: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Plan and apply one campaign. Sending again sends nothing to anybody who has it already.

    A transactional campaign is sent to one person, with the values its template names as `given.…`:
    clarion send receipt --to C1042 --key order-7 --given order_number=7
    """
    if to is not None:
        place(desk, Order(campaign, to, new_key() if key is None else key, given), wait=wait, as_json=as_json)
        return
    if key is not None or given:
        raise UsageError("--key and --given are for one person", hint="name the person: --to KEY")
    _send_to_audience(desk, campaign, wait=wait, yes=yes, again=again, as_json=as_json)


def _send_to_audience(desk: Desk, campaign: str, *, wait: bool, yes: bool, again: bool, as_json: bool) -> None:
    from campaigns.presence import await_senders
    from campaigns.whole_plan import to_file

    catalogue = _files(desk)
    made = _make_plan(desk, catalogue, (campaign,))
    _refuse_others(made)
    (mailing,) = made.mailings.campaigns
    _refuse_cancelled(mailing, desk.zone, again=again)
    if mailing.is_transactional:
        raise PlanError(f"{campaign} is transactional (got no person to send it to)", hint=SEND_TO)
    if not as_json:
        _print_plan(made, desk.zone)
    if made.would_send and not yes:
        _confirm(made.would_send)
        catalogue = _files(desk)  # they may be others by now
    if wait and made.pending and not await_senders(desk.database):
        raise ServiceError(
            "nothing is running that sends; nothing was started", hint="run `clarion up` in another window"
        )
    applied = _apply(desk, catalogue, to_file(made))
    if not (wait and applied.started):
        _tell_applied(desk, applied, as_json)
        return
    if not as_json:
        _tell_applied(desk, applied, as_json)
    run_id = applied.started[0].run_id
    ended = wait_for(desk, run_id)
    if as_json:
        print_json(_status_document(desk, run_id))
    if not ended.went_well:
        raise click.exceptions.Exit(1)


def _refuse_others(made: "WholePlan") -> None:
    for kind, item in made.others:
        raise PlanError(
            f"{item.name} is no mailing (its kind is {kind!r})", hint=f"clarion plan {item.name}, then clarion apply"
        )


def _refuse_cancelled(item: "CampaignPlan", zone: str, *, again: bool) -> None:
    if item.cancelled_at is not None and not again:
        raise PlanError(
            f"{item.campaign} was cancelled at {local(item.cancelled_at, zone)}; nothing was started",
            hint=f"add --again to start it anew for {item.counts.would_send:,} people",
        )


def _status_document(desk: Desk, run_id: int) -> dict[str, Any]:
    from campaigns.status import status_of

    with desk.database.begin() as connection:
        return status_of(connection, run_id).document()
