"""`status` and `why`: what the ledger says."""

from typing import TYPE_CHECKING, Any

import click

from campaigns.commands.persons import person_of
from campaigns.reasons import SENTENCES
from core.commands import Desk, counted, json_option, print_json, print_table, remark, shown
from core.errors import ConfigError, NotFound, UsageError
from core.names import did_you_mean

if TYPE_CHECKING:
    from campaigns.status import Status


@click.command()
@click.argument("campaign", required=False)
@click.option("--check", is_flag=True, help="Exit 1 when the ledger does not balance.")
@click.option("--who", "asked", metavar="STATE_OR_REASON",
              help="List the people behind a count, such as failed, held or frequency_cap.")  # fmt: skip
@json_option
@click.pass_obj
def status(desk: Desk, campaign: str | None, check: bool, asked: str | None, as_json: bool) -> None:
    """Show the ledger's counts: of CAMPAIGN's newest run, or of every run."""
    if campaign is not None and asked is None and _is_sequence(desk, campaign):
        from campaigns.sequences.commands import print_status

        print_status(desk, campaign, check=check, as_json=as_json)
        return
    rows = _status_rows(desk, campaign)
    if asked is not None:
        _print_who(desk, rows, campaign, asked, as_json)
        return
    documents = [row.document() | {"waiting": _waiting(desk, row)} for row in (rows[:1] if campaign else rows)]
    _print_statuses(documents, as_json, single=campaign is not None)
    if not campaign and not as_json:
        _print_schedules(desk)
    broken = [f"{row.campaign} run {row.run}: {rule}" for row in rows for rule in row.broken]
    broken += _broken_sequences(desk) if campaign is None else []
    for line in broken:
        remark(f"does not balance: {line}")
    for line in _held(desk):
        remark(line)
    if check and broken:
        raise click.exceptions.Exit(1)
    if check and not as_json:
        click.echo(f"balanced: {counted(len(rows), 'run')}, every message accounted for")


def _broken_sequences(desk: Desk) -> list[str]:
    from campaigns.sequences.overview import all_broken

    with desk.ledger.begin() as connection:
        return all_broken(connection)


def _is_sequence(desk: Desk, campaign: str) -> bool:
    from campaigns.sequences.records import find

    with desk.ledger.begin() as connection:
        return find(connection, campaign) is not None


def _print_who(desk: Desk, rows: "list[Status]", campaign: str | None, asked: str, as_json: bool) -> None:
    """The people behind a count of the campaign's newest run."""
    from campaigns.status import who

    if campaign is None:
        raise UsageError("--who asks about one campaign", hint="name it: clarion status CAMPAIGN --who failed")
    newest = rows[0]
    known = {*newest.states, *newest.skipped, *newest.held, "held", "skipped"} - {"claimed"}
    asked = asked.strip().lower().replace(" ", "_")
    if asked not in known and asked not in SENTENCES and not asked.startswith("suppressed:"):
        raise NotFound(f"no message is {asked!r}", hint=did_you_mean(asked, known))
    with desk.ledger.begin() as connection:
        people = who(connection, newest.run, asked)
    if as_json:
        print_json({"campaign": campaign, "run": newest.run, "who": asked, "people": people})
    else:
        print_table(people, ("customer", "state", "reason", "since"))


def _held(desk: Desk) -> list[str]:
    from delivery.overview import held_texts

    with desk.ledger.begin() as connection:
        return held_texts(connection)


def _print_schedules(desk: Desk) -> None:
    from campaigns.status import scheduled

    with desk.ledger.begin() as connection:
        rows = scheduled(connection)
    if rows:
        click.echo()
        print_table(rows, ("campaign", "cron", "zone", "state"))


def _status_rows(desk: Desk, campaign: str | None) -> "list[Status]":
    from campaigns.status import statuses

    with desk.ledger.begin() as connection:
        return statuses(connection, campaign)


def _waiting(desk: Desk, row: "Status") -> list[dict[str, Any]]:
    """Why messages of the run wait; of runs with open ones alone."""
    from campaigns.waiting import run_waits

    try:
        settings = desk.workspace.settings
    except ConfigError:  # was remarked when the ledger was opened
        return []
    if not row.open:
        return []
    with desk.ledger.begin() as connection:
        return [wait.document() for wait in run_waits(connection, settings, row.run, desk.clock.now())]


#: Counts that are shown when they are not zero; `--json` has them all.
_UNUSUAL = frozenset({"claimed", "handed_over", "deferred", "unknown", "delivered", "bounced", "complained"})


def _print_statuses(documents: list[dict[str, Any]], as_json: bool, *, single: bool) -> None:
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
            "held",
            "skipped",
            "balanced",
        )
        documents = [row | {key: sum(row[key].values()) for key in ("held", "skipped")} for row in documents]
        print_table(documents, columns)
        return
    for key, value in documents[0].items():
        if isinstance(value, dict):
            for reason, number in value.items():
                click.echo(f"{f'{key}, {reason}':<32}{number:>12,}")
        elif key == "waiting":
            _print_waiting(value)
        elif isinstance(value, int) and not isinstance(value, bool) and key != "run":
            if not value and key in _UNUSUAL:
                continue
            click.echo(f"{key.replace('_', ' '):<32}{value:>12,}")
        elif key not in ("broken", "starts_at") and value is not None:
            click.echo(f"{key.replace('_', ' '):<32}{shown(value):>12}")


def _print_waiting(waits: list[dict[str, Any]]) -> None:
    from campaigns.waiting import Waiting

    for wait in waits:
        click.echo(f"waiting: {Waiting(**wait).sentence}")


@click.command()
@click.argument("key")
@click.argument("campaign")
@json_option
@click.pass_obj
def why(desk: Desk, key: str, campaign: str, as_json: bool) -> None:
    """Explain what happened to the customer KEY (external id or e-mail address) in CAMPAIGN."""
    from campaigns import catalogue as files
    from campaigns.why import explain

    catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        person = person_of(desk, connection, key)
        answer = explain(connection, catalogue, person, campaign, desk.clock.now())
    if as_json:
        print_json(answer.document())
        return
    click.secho(f"{answer.customer} in {answer.campaign}: {answer.outcome}", bold=True)
    click.echo(f"  {answer.reason}")
    for fact in answer.facts:
        at = f"{fact.at:%Y-%m-%d %H:%M:%S %Z}" if fact.at else " " * 23
        click.echo(f"  {at}  {fact.what}")
