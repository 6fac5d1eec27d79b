"""`status` and `why`: what the ledger says."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from campaigns.commands.persons import person_of
from campaigns.reasons import SENTENCES
from core.commands import (
    Desk,
    counted,
    headline,
    in_zone,
    json_option,
    local,
    print_json,
    print_table,
    remark,
    shown,
)
from core.errors import ConfigError, NotFound, UsageError
from core.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from campaigns.status import Status


@click.command()
@click.argument("campaign", required=False)
@click.option("--check", is_flag=True, help="Exit 1 when the ledger does not balance.")
@click.option("--who", "asked", metavar="STATE_OR_REASON",
              help="List the people behind a count, such as failed, held or frequency_cap.")  # fmt: skip
@json_option
@click.pass_obj
def status(desk: Desk, campaign: str | None, check: bool, asked: str | None, as_json: bool) -> None:
    """Show the ledger's counts: of CAMPAIGN's newest run, or of every run.

    CAMPAIGN may also be a sequence or an event: their mails are told apart by the step.
    """
    if campaign is not None and asked is None and _is_sequence(desk, campaign):
        from campaigns.sequences.commands import print_status

        print_status(desk, campaign, check=check, as_json=as_json)
        return
    rows = _status_rows(desk, campaign)
    by_steps = campaign is not None and rows[0].is_one_of_several
    chosen = rows if campaign is None or by_steps else rows[:1]
    if asked is not None:
        _print_who(desk, chosen, campaign, asked, as_json)
        return
    documents = [row.document() | {"waiting": _waiting(desk, row)} for row in chosen]
    if by_steps:
        _print_steps(desk, chosen, documents, as_json)
    else:
        _print_statuses(desk, documents, as_json, single=campaign is not None)
    if not campaign and not as_json:
        _print_schedules(desk)
    broken = [f"{row.campaign} run {row.run}: {rule}" for row in rows for rule in row.broken]
    broken += _broken_sequences(desk) if campaign is None else []
    for line in broken:
        remark(f"does not balance: {line}")
    for line in _held(desk, chosen if campaign is not None else None):
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
    """The people behind a count of the runs."""
    from campaigns.status import who

    if campaign is None:
        raise UsageError("--who asks about one campaign", hint="name it: clarion status CAMPAIGN --who failed")
    known = {"held", "skipped"}.union(*({*row.states, *row.skipped, *row.held} for row in rows)) - {"claimed"}
    asked = asked.strip().lower().replace(" ", "_")
    if asked not in known and asked not in SENTENCES and not asked.startswith("suppressed:"):
        raise NotFound(f"no message is {asked!r}", hint=did_you_mean(asked, known))
    with desk.ledger.begin() as connection:
        people = who(connection, rows, asked, desk.workspace.secret)
    if as_json:
        print_json({"campaign": campaign, "run": rows[0].run, "who": asked, "people": people})
    else:
        step = ("step",) if rows[0].is_one_of_several else ()
        named = ("message_id",) if asked == "unknown" else ()
        print_table(in_zone(people, desk.zone), ("customer", *step, "state", "reason", "since", *named))


def _held(desk: Desk, rows: "list[Status] | None") -> list[str]:
    """What is held of the ways out: of those that the runs use, or with None all, and the recipient domains."""
    from campaigns.status import ways_of
    from delivery.overview import held_by_name

    with desk.ledger.begin() as connection:
        held = held_by_name(connection)
        try:
            settings = desk.workspace.settings
        except ConfigError:  # was remarked when the ledger was opened
            rows = None
        if rows is None:
            return list(held.values())
        used = {f"transport {name}" for name in ways_of(connection, settings, [row.run for row in rows])}
    return [told for name, told in held.items() if name in used]


def _schedules(desk: Desk) -> list[dict[str, Any]]:
    from campaigns.status import scheduled

    with desk.ledger.begin() as connection:
        return scheduled(connection)


def _print_schedules(desk: Desk) -> None:
    if rows := _schedules(desk):
        click.echo()
        fault = ("fault",) if any(row["fault"] for row in rows) else ()
        print_table(rows, ("campaign", "cron", "zone", "state", *fault))


def _status_rows(desk: Desk, campaign: str | None) -> "list[Status]":
    """The runs asked for, newest first. One that is due and could not be started is the fault of the newest."""
    from campaigns.status import in_ledger, schedule_fault, statuses

    with desk.ledger.begin() as connection:
        if campaign is None:
            return statuses(connection)
        newest, *others = statuses(connection, in_ledger(connection, campaign))
        fault = newest.fault or schedule_fault(connection, campaign)
        return [replace(newest, fault=fault), *others]


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


#: The columns of a run in a table.
_IN_TABLE = (
    "state", "audience", "planned", "claimed", "handed_over", "accepted", "deferred", "failed", "unknown", "held",
    "skipped", "balanced",
)  # fmt: skip


def _print_steps(desk: Desk, rows: "list[Status]", documents: list[dict[str, Any]], as_json: bool) -> None:
    """The mails of an event, told apart by their step."""
    from campaigns.status import summed

    if as_json:
        waits = [wait | {"step": document["step"]} for document in documents for wait in document["waiting"]]
        print_json(documents[0] | summed(rows) | {"waiting": waits})
        return
    headline(rows[0].campaign)
    print_runs(rows)
    for document in documents:
        _print_waiting(desk, document["waiting"], f"{document['step']}: ")


def print_runs(rows: "Sequence[Status]") -> None:
    """The runs of several steps as a table."""
    sums = [row.document() | {"skipped": sum(row.skipped.values()), "held": sum(row.held.values())} for row in rows]
    print_table(sums, ("step", "run", *_counts(sums, ("deferred", "unknown"))))


def _counts(rows: "Sequence[Mapping[str, Any]]", seldom: "Sequence[str]" = ()) -> list[str]:
    """The columns that make up the audience; what workers have in their hands, and what is `seldom`, where any is."""
    optional = {"claimed", "handed_over", *seldom}
    return [name for name in _IN_TABLE if name not in optional or any(row[name] for row in rows)]


def _print_statuses(desk: Desk, documents: list[dict[str, Any]], as_json: bool, *, single: bool) -> None:
    if as_json:
        print_json(documents[0] if single else {"runs": documents, "schedules": _schedules(desk)})
        return
    if not single:
        documents = [row | {key: sum(row[key].values()) for key in ("held", "skipped")} for row in documents]
        print_table(documents, ("campaign", "step", "run", *_counts(documents)))
        return
    for key, value in documents[0].items():
        if isinstance(value, dict):
            for reason, number in value.items():
                click.echo(f"{f'{key}, {reason}':<32}{number:>12,}")
        elif key == "waiting":
            _print_waiting(desk, value)
        elif isinstance(value, int) and not isinstance(value, bool) and key != "run":
            if not value and key in _UNUSUAL:
                continue
            click.echo(f"{key.replace('_', ' '):<32}{value:>12,}")
        elif key not in ("step", "broken", "starts_at") and value is not None:
            click.echo(f"{key.replace('_', ' '):<32}{shown(local(value, desk.zone)):>12}")


def _print_waiting(desk: Desk, waits: list[dict[str, Any]], step: str = "") -> None:
    from campaigns.waiting import Waiting

    for wait in waits:
        click.echo(f"waiting: {step}{Waiting(**wait).sentence_in(desk.zone)}")


@click.command()
@click.argument("key")
@click.argument("campaign")
@json_option
@click.pass_obj
def why(desk: Desk, key: str, campaign: str, as_json: bool) -> None:
    """Explain what happened to the customer KEY (external id or e-mail address) in CAMPAIGN.

    CAMPAIGN may also be a sequence or an event.
    """
    from campaigns import catalogue as files
    from campaigns.why import explain
    from core.local_time import shown_in

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
        at = shown_in(desk.zone, fact.at, "seconds") if fact.at else "now"
        click.echo(f"  {at:<26}  {fact.what}")
