"""The commands about campaigns, from an empty folder to an answered `why`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.commands import Desk, json_option, print_json, print_table, progress, remark
from core.errors import ConfigError, NotFound, PlanError, ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from campaigns.catalogue import Catalogue
    from campaigns.plan import Plan
    from campaigns.runs import Started
    from campaigns.status import Status

#: From this many messages on, `apply` and `send` want the number typed instead of a yes.
TYPED_FROM = 1000


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def init(desk: Desk, folder: Path) -> None:
    """Make a ready workspace in FOLDER, with a sample segment, template, campaign and customers."""
    from campaigns import starter

    made = starter.make(folder, desk.clock.now().date())
    for name in made:
        click.echo(f"{folder / name}")
    remark(f"\nnext: cd {folder} && clarion validate")


# --- files ----------------------------------------------------------------------------------------------


@click.command()
@json_option
@click.pass_obj
def validate(desk: Desk, as_json: bool) -> None:
    """Check every file of the workspace: each mistake with its file and line, all in one go."""
    from campaigns.catalogue import examine

    catalogue, problems = examine(desk.workspace)
    if as_json:
        rows = [{"file": p.file, "line": p.line, "message": p.message, "hint": p.hint} for p in problems]
        print_json({"valid": not problems, "problems": rows})
    if problems and not as_json:
        raise ConfigError(problems=problems, hint=f"{len(problems)} to mend; nothing was changed")
    if problems:
        raise click.exceptions.Exit(1)
    if not as_json and catalogue is not None:
        counted = [
            f"{len(catalogue.segments)} segments",
            f"{len(catalogue.templates)} templates",
            f"{len(catalogue.campaigns)} campaigns",
        ]
        click.echo(f"fine: {', '.join(counted)}")


@click.command()
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Default: .clarion/schemas"
)
@click.pass_obj
def schema(desk: Desk, folder: Path | None) -> None:
    """Write the JSON Schemas of clarion.yaml, segments and campaigns, for editors."""
    from campaigns.definition import CampaignFile
    from core.settings import Settings
    from segments.definition import SegmentFile

    target = folder or desk.workspace.state / "schemas"
    target.mkdir(parents=True, exist_ok=True)
    for name, model in (("clarion", Settings), ("segment", SegmentFile), ("campaign", CampaignFile)):
        path = target / f"{name}.json"
        path.write_text(json.dumps(model.model_json_schema(by_alias=True), indent=2) + "\n", encoding="utf-8")
        click.echo(str(path))


# --- looking ---------------------------------------------------------------------------------------------


@click.command()
@click.argument("campaign")
@click.option("--as", "key", required=True, help="A customer: external id or e-mail address.")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the HTML part."
)
@click.option(
    "--eml", "eml_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the whole mail."
)
@click.option(
    "--png", "png_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture of it."
)
@click.pass_obj
def preview(
    desk: Desk, campaign: str, key: str, html_file: Path | None, eml_file: Path | None, png_file: Path | None
) -> None:
    """Render CAMPAIGN's mailing for one customer: on screen, or as .html, .eml or .png."""
    made = _preview(desk, campaign, key)
    mail = made.mail
    if html_file:
        html_file.write_text(mail.html or f"<pre>{mail.text}</pre>", encoding="utf-8")
    if eml_file:
        eml_file.write_bytes(made.content)
    if png_file:
        from templates.preview import write_png

        write_png(mail.html or f"<pre>{mail.text}</pre>", png_file)
    for path in (html_file, eml_file, png_file):
        if path:
            click.echo(str(path))
    if not (html_file or eml_file or png_file):
        click.echo(f"From:    {mail.sender_name} <{mail.sender_email}>")
        click.echo(f"To:      {mail.recipient_email}")
        click.echo(f"Subject: {mail.subject}\n\n{mail.text}")


def _preview(desk: Desk, campaign: str, key: str) -> Any:
    from campaigns import catalogue as files
    from campaigns.preview import preview as render

    catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        person = _person(desk, connection, key)
        return render(connection, desk.workspace, catalogue, campaign, person, desk.clock.now())


def _person(desk: Desk, connection: "Connection", key: str) -> "RowMapping":
    from customers.identity import find_customer

    person = find_customer(connection, key, desk.workspace.secret)
    if person is None:
        raise NotFound(f"no customer {key!r}", hint="give an external id or an e-mail address")
    return person


@click.command("send-test")
@click.argument("campaign")
@click.option("--as", "key", required=True, help="The customer whose mailing is shown.")
@click.option("--to", "address", required=True, help="Where it goes: your own address.")
@click.pass_obj
def send_test(desk: Desk, campaign: str, key: str, address: str) -> None:
    """Send CAMPAIGN's mailing, as one customer would get it, to yourself. The ledger is not touched."""
    import asyncio
    from dataclasses import replace

    from campaigns.preview import send_once
    from core.addresses import parse_address

    mail = replace(
        _preview(desk, campaign, key).mail, recipient_email=parse_address(address).email, recipient_name=""
    )
    mail = replace(mail, subject=f"[test] {mail.subject}")
    outcome = asyncio.run(send_once(desk.workspace, None, mail))
    click.echo(f"{outcome.state}: {outcome.code or ''} {outcome.reply}".rstrip())
    if outcome.state != "accepted":
        raise click.exceptions.Exit(1)


# --- plan and apply --------------------------------------------------------------------------------------


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan for `apply`."
)
@json_option
@click.pass_obj
def plan(desk: Desk, names: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Show what would be sent to how many people, and who is left out by which rule. Nothing is changed.

    Exit code: 0 nothing to do, 1 error, 2 changes pending.
    """
    from campaigns.plan import to_file

    made = _make_plan(desk, names)
    if file:
        file.write_text(json.dumps(to_file(made), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print_json(_plan_document(made))
    else:
        _print_plan(made)
        if file:
            remark(f"\nthe plan is in {file}; carry it out with: clarion apply {file}")
    if made.pending:
        raise click.exceptions.Exit(2)


def _make_plan(desk: Desk, names: tuple[str, ...]) -> "Plan":
    from campaigns import catalogue as files
    from campaigns.plan import make_plan

    catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        return make_plan(connection, catalogue, names, desk.clock.now())


def _plan_document(made: "Plan") -> dict[str, Any]:
    from campaigns.stages import tell

    campaigns = [
        {
            "name": item.campaign,
            "audience": item.counts.audience,
            "would_send": item.counts.would_send,
            "skipped": dict(item.counts.skipped),
            "starts_at": item.starts_at,
        }
        for item in made.campaigns
    ]
    changes = [{"campaign": item.campaign, **tell(stage)} for item in made.pending for stage in item.stages]
    return {"campaigns": campaigns, "changes": changes}


def _print_plan(made: "Plan") -> None:
    for item in made.campaigns:
        counts = item.counts
        click.secho(item.campaign, bold=True)
        rows = [("audience", counts.audience), ("would send", counts.would_send)]
        rows += [(f"skipped, {reason}", number) for reason, number in counts.skipped.items()]
        width = max(len(label) for label, _ in rows)
        for label, number in rows:
            click.echo(f"  {label.ljust(width)}  {number:>12,}")
        if item.stages:
            starts = f"{item.starts_at:%Y-%m-%d %H:%M %Z}" if item.starts_at else "by its schedule"
            click.echo(f"  {'starts'.ljust(width)}  {starts}")
        else:
            click.echo("  nothing to do")
    if made.pending:
        click.echo(f"\n{len(made.pending)} to carry out: {', '.join(item.campaign for item in made.pending)}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def apply(desk: Desk, file: Path | None, yes: bool, as_json: bool) -> None:
    """Carry out exactly the plan in FILE, or refuse. Without FILE: plan everything, ask, carry out."""
    from campaigns.plan import from_file, to_file

    if file is None:
        made = _make_plan(desk, ())
        if not as_json:
            _print_plan(made)
        document = to_file(made)
    else:
        document = _read_plan(file)
    reviewed = from_file(document)
    _confirm(sum(item.counts.would_send for item in reviewed if item.pending), yes or file is not None)
    _tell_started(desk, _apply(desk, reviewed), as_json)


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(
            f"{file} is no plan file: {error}", hint="write one with `clarion plan --out FILE`"
        ) from None
    return document if isinstance(document, dict) else {}


def _apply(desk: Desk, reviewed: Any) -> "list[Started]":
    from campaigns import catalogue as files
    from campaigns.runs import apply_reviewed

    catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        return apply_reviewed(connection, catalogue, reviewed, desk.clock.now())


def _confirm(messages: int, agreed: bool) -> None:
    if agreed or messages == 0:
        return
    if messages < TYPED_FROM:
        click.confirm(f"Send {messages:,} messages?", abort=True, err=True)
        return
    typed = click.prompt(f"Type the number of messages to send ({messages:,})", err=True)
    if typed.replace(",", "").strip() != str(messages):
        raise PlanError(f"nothing was sent (got {typed!r}, expected {messages})")


def _tell_started(desk: Desk, started: "list[Started]", as_json: bool) -> None:
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
        print_json({"started": rows})
    elif rows:
        print_table(rows)
    else:
        click.echo("nothing to do")
    if started and not _senders(desk):
        remark("no worker is running: the messages wait until one is (`clarion up`)")


def _senders(desk: Desk) -> bool:
    from campaigns.presence import present

    with desk.database.begin() as connection:
        return {"worker", "scheduler"} <= present(connection)


@click.command()
@click.argument("campaign")
@click.option("--wait", is_flag=True, help="Come back when everything is answered.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def send(desk: Desk, campaign: str, wait: bool, yes: bool, as_json: bool) -> None:
    """Plan and apply one campaign. Sending again sends nothing to anybody who has it already."""
    from campaigns.plan import from_file, to_file

    made = _make_plan(desk, (campaign,))
    if not as_json:
        _print_plan(made)
    if made.pending:
        _confirm(sum(item.counts.would_send for item in made.pending), yes)
    if wait and made.pending and not _senders(desk):
        raise ServiceError(
            "nothing is running that sends; nothing was started", hint="run `clarion up` in another window"
        )
    started = _apply(desk, from_file(to_file(made)))
    if wait:
        for item in started:
            _wait(desk, item.run_id)
    if as_json and wait and started:
        _print_statuses(_status_rows(desk, campaign)[:1], as_json=True, single=True)
        return
    _tell_started(desk, started, as_json)


def _wait(desk: Desk, run_id: int) -> None:
    """Comes back when the run has nothing open; asks twice a second."""
    import time

    from campaigns.status import status_of

    done = 0
    with desk.database.begin() as connection:
        first = status_of(connection, run_id)
    with progress("sending", first.open) as advance:
        while True:
            with desk.database.begin() as connection:
                now = status_of(connection, run_id)
            advance((first.open - now.open) - done)
            done = first.open - now.open
            if now.state in ("finished", "cancelled") or now.open == now.states["deferred"]:
                return
            time.sleep(0.3)


# --- control and answers -----------------------------------------------------------------------------------


def _ordered(desk: Desk, campaign: str, verb: str) -> None:
    import getpass

    from campaigns.control import order

    with desk.database.begin() as connection:
        changed = order(connection, campaign, verb, actor=getpass.getuser(), now=desk.clock.now())
    what = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}[verb]
    click.echo(f"{campaign}: {what} {len(changed)} run{'s' if len(changed) != 1 else ''}")


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


@click.command()
@click.argument("campaign", required=False)
@click.option("--check", is_flag=True, help="Exit 1 when the ledger does not balance.")
@json_option
@click.pass_obj
def status(desk: Desk, campaign: str | None, check: bool, as_json: bool) -> None:
    """Show the ledger's counts: of CAMPAIGN's newest run, or of every run."""
    rows = _status_rows(desk, campaign)
    listed = rows[:1] if campaign and not check else rows
    _print_statuses(listed, as_json, single=campaign is not None and not check)
    broken = [f"{row.campaign} run {row.run}: {rule}" for row in listed for rule in row.broken]
    for line in broken:
        remark(f"does not balance: {line}")
    if check and broken:
        raise click.exceptions.Exit(1)
    if check and not as_json:
        click.echo(
            f"balanced: {len(listed)} run{'s' if len(listed) != 1 else ''}, every message accounted for"
        )


def _status_rows(desk: Desk, campaign: str | None) -> "list[Status]":
    from campaigns.status import statuses

    with desk.database.begin() as connection:
        return statuses(connection, campaign)


def _print_statuses(rows: "list[Status]", as_json: bool, *, single: bool) -> None:
    documents = [row.document() for row in rows]
    if as_json:
        print_json(documents[0] if single else {"runs": documents})
        return
    if not single:
        columns = (
            "campaign",
            "run",
            "state",
            "audience",
            "planned",
            "accepted",
            "deferred",
            "failed",
            "unknown",
            "balanced",
        )
        print_table(documents, columns)
        return
    for key, value in documents[0].items():
        if isinstance(value, dict):
            for reason, number in value.items():
                click.echo(f"{'skipped, ' + reason:<32}{number:>12,}")
        elif isinstance(value, int) and not isinstance(value, bool) and key != "run":
            click.echo(f"{key.replace('_', ' '):<32}{value:>12,}")
        elif key not in ("broken", "starts_at"):
            click.echo(f"{key.replace('_', ' '):<32}{value!s:>12}")


@click.command()
@click.argument("key")
@click.argument("campaign")
@json_option
@click.pass_obj
def why(desk: Desk, key: str, campaign: str, as_json: bool) -> None:
    """Explain what happened to the customer KEY (external id or e-mail address) in CAMPAIGN."""
    from campaigns import catalogue as files
    from campaigns.why import explain

    catalogue: Catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        person = _person(desk, connection, key)
        answer = explain(connection, catalogue, person, campaign, desk.clock.now())
    if as_json:
        print_json(answer.document())
        return
    click.secho(f"{answer.customer} in {answer.campaign}: {answer.outcome}", bold=True)
    click.echo(f"  {answer.reason}")
    for fact in answer.facts:
        at = f"{fact.at:%Y-%m-%d %H:%M:%S}" if fact.at else " " * 19
        click.echo(f"  {at}  {fact.what}")
