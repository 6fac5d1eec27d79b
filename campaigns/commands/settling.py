"""`reconcile` and `retry`: messages in doubt, and messages that failed."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.commands import Desk, acting_user, counted, json_option, print_json, print_table, progress, remark
from core.errors import EngineError, PlanError, UsageError
from core.names import did_you_mean

if TYPE_CHECKING:
    from datetime import tzinfo

    from campaigns.doubts import Doubt
    from campaigns.outcome_files import Outcomes
    from campaigns.reconcile import Findings
    from campaigns.retry import Retry

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)
#: So many rejected rows of a file are shown; `--json` has them all.
_MOST_SHOWN: Final = 20


@click.command()
@click.argument("campaign", required=False)
@click.option("--mail-log", "logs", type=_FILE, multiple=True, help="A Postfix log, plain or gzip; give all of them.")
@click.option("--outcomes", "file", type=_FILE, help="A CSV file: message-id,outcome.")
@click.option("--complete", is_flag=True, help="The files cover the whole time: what is not in them was not received.")
@click.option("--accepted", is_flag=True, help="Look up accepted messages too: delivered, or bounced?")
@click.option("--zone", help="The zone of log times without one, such as Europe/Berlin (default: the organisation's).")
@click.option("--dry-run", is_flag=True, help="Say what would be settled; change nothing.")
@json_option
@click.pass_obj
def reconcile(
    desk: Desk, campaign: str | None, logs: tuple[Path, ...], file: Path | None, complete: bool, accepted: bool,
    zone: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Settle messages in doubt (unknown), of CAMPAIGN or all, by what the mail server wrote down.

    With --complete, messages that the server never received are sent again.
    """
    if bool(logs) == (file is not None):
        raise UsageError("expected --mail-log FILE (once or more often) or --outcomes FILE.csv")
    doubts = _doubts(desk, campaign, accepted)
    if file is not None:
        findings, told = _by_file(desk, doubts, file, complete)
    else:
        findings, told = _by_logs(desk, doubts, logs, complete, zone)
    source = ", ".join(path.name for path in (*logs, *([file] if file else []))) + (" (complete)" if complete else "")
    settled = Counter(one.state.value for one in findings.found)
    if not dry_run:
        settled = _settle(desk, findings, source)
        if held := len(findings.found) - settled.total():
            findings.open["its batch is being sent, or somebody else settled it: reconcile again"] += held
    document = {
        "campaign": campaign, "in_doubt": sum(doubt.state == "unknown" for doubt in doubts), "settled": dict(settled),
        "still_unknown": findings.open.total(), "left": dict(findings.open), "dry_run": dry_run, **told,
    }  # fmt: skip
    if as_json:
        print_json(document)
    else:
        _print(document)


def _doubts(desk: Desk, campaign: str | None, accepted: bool) -> "list[Doubt]":
    from campaigns.doubts import doubts
    from campaigns.status import statuses

    states = ("unknown", "accepted", "delivered") if accepted else ("unknown",)
    with desk.database.begin() as connection:
        if campaign is not None:
            statuses(connection, campaign)  # a name that never ran is a mistake
        return doubts(connection, desk.workspace.secret, campaign=campaign, states=states)


def _by_file(desk: Desk, doubts: "list[Doubt]", file: Path, complete: bool) -> "tuple[Findings, dict[str, Any]]":
    from datetime import UTC, datetime

    from campaigns.outcome_files import Outcome, read_outcomes
    from campaigns.reconcile import by_outcomes, testimony

    stat = file.stat()
    with progress("reading", stat.st_size) as advance:
        outcomes = read_outcomes(file, advance)
    if complete and outcomes.rejected:
        raise UsageError(
            f"{counted(len(outcomes.rejected), 'row')} of {file} cannot be read, so it is not complete "
            f"(line {outcomes.rejected[0].line}: {outcomes.rejected[0].reason})"
        )
    written_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    taken = {message_id for message_id, outcome in outcomes.found.items() if outcome is not Outcome.NEVER_RECEIVED}
    witnesses = _witnesses(desk, doubts) if complete else []
    heard = testimony(witnesses, taken, datetime.min.replace(tzinfo=UTC), written_at)
    findings = by_outcomes(doubts, outcomes, complete=complete, written_at=written_at, heard=heard)
    return findings, _told_of_file(doubts, outcomes)


def _told_of_file(doubts: "list[Doubt]", outcomes: "Outcomes") -> dict[str, Any]:
    known = {doubt.message_id for doubt in doubts}
    rejected = [{"line": row.line, "reason": row.reason} for row in outcomes.rejected]
    return {"unmatched": len(outcomes.found.keys() - known), "rejected": rejected}


def _by_logs(
    desk: Desk, doubts: "list[Doubt]", logs: tuple[Path, ...], complete: bool, zone: str | None
) -> "tuple[Findings, dict[str, Any]]":
    from campaigns.reconcile import Testimony, by_log, testimony
    from delivery.postfix_log import read

    witnesses = _witnesses(desk, doubts) if complete else []
    wanted = {doubt.message_id: doubt.recipient for doubt in (*witnesses, *doubts)}
    with progress("reading", 2 * sum(path.stat().st_size for path in logs)) as advance:
        log = read(logs, wanted, zone=_zone(desk, zone), now=desk.clock.now(), advance=advance)
    if log.first_at is None and any(path.stat().st_size for path in logs):
        raise EngineError(
            f"no line of {', '.join(map(str, logs))} is one of a Postfix log; nothing was changed",
            hint="other mail servers: a CSV file of outcomes, see `clarion reconcile --help`",
        )
    if complete and log.cut_short:
        raise UsageError(f"{', '.join(log.cut_short)} ends in the middle, so the log is not complete")
    heard = Testimony()
    if log.first_at is not None and log.last_at is not None:
        heard = testimony(witnesses, log.evidence, log.first_at, log.last_at)
    findings = by_log(doubts, log, complete=complete, heard=heard)
    in_log = len(log.evidence.keys() & {doubt.message_id for doubt in doubts})
    return findings, {"unmatched": log.messages - in_log, "first_at": log.first_at, "last_at": log.last_at}


def _zone(desk: Desk, name: str | None) -> "tzinfo":
    from zoneinfo import ZoneInfo

    from core.units import parse_zone

    try:
        return ZoneInfo(parse_zone(name) if name else desk.workspace.settings.organisation.zone)
    except ValueError as error:
        raise UsageError(f"--zone: {error}") from None


def _witnesses(desk: Desk, doubts: "list[Doubt]") -> "list[Doubt]":
    from datetime import timedelta

    from campaigns.doubts import witnesses

    unknown = [doubt for doubt in doubts if doubt.state == "unknown"]
    if not unknown:
        return []
    first = min(doubt.since for doubt in unknown)
    last = max(doubt.until for doubt in unknown) + timedelta(days=1)
    runs = {doubt.run_id for doubt in unknown}
    with desk.database.begin() as connection:
        return witnesses(connection, desk.workspace.secret, runs, first, last)


def _settle(desk: Desk, findings: "Findings", source: str) -> Counter[str]:
    from campaigns.reconcile import settle

    settings = desk.workspace.settings
    with desk.database.begin() as connection:
        return settle(
            connection, findings.found, actor=acting_user(), source=source, size=settings.workers.batch_size,
            policy=settings.refusals, now=desk.clock.now(),
        )  # fmt: skip


def _print(document: dict[str, Any]) -> None:
    again = {"planned": "never received: sent again"}
    rows = [{"outcome": again.get(state, state), "messages": number} for state, number in document["settled"].items()]
    rows += [{"outcome": f"left: {reason}", "messages": number} for reason, number in document["left"].items()]
    if document.get("unmatched"):
        rows.append({"outcome": "of no message in doubt", "messages": document["unmatched"]})
    print_table(rows, ("outcome", "messages"))
    number = document["in_doubt"] - document["still_unknown"]
    done = "would be settled" if document["dry_run"] else "settled"
    remark(f"{counted(document['in_doubt'], 'message')} in doubt, {number:,} {done}")
    for row in document.get("rejected", [])[:_MOST_SHOWN]:
        remark(f"line {row['line']}: {row['reason']}")


def _classes(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    from campaigns.retry import CLASSES

    if value is None:
        return CLASSES
    named = tuple(part.strip().lower().replace("-", "_") for part in value.split(",") if part.strip())
    if "hard" in named:
        raise click.BadParameter("a hard refusal says that the address does not exist; it is never tried again")
    unknown = [name for name in named if name not in CLASSES]
    if unknown or not named:
        raise click.BadParameter(f"no class {', '.join(unknown)!r}; {did_you_mean(''.join(unknown[:1]), CLASSES)}")
    return named


@click.command()
@click.argument("campaign")
@click.option("--failed", "which", flag_value="failed", help="Messages that failed.")
@click.option("--unknown", "which", flag_value="unknown", help="Messages in doubt: some people may get it twice.")
@click.option("--class", "classes", callback=_classes, metavar="CLASS,…", help="Only failed ones of these classes.")
@click.option("--accept-duplicates", metavar="CAMPAIGN", help="With --unknown: the campaign's name, typed once more.")
@click.option("--dry-run", is_flag=True, help="Say how many would be sent again; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def retry(
    desk: Desk, campaign: str, which: str | None, classes: tuple[str, ...], accept_duplicates: str | None,
    dry_run: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send CAMPAIGN's failed messages again: in the same run, with the same Message-IDs.

    Never where a server said that the address does not exist, where the person may not be written to any more, or
    where the message has expired. What may have arrived is in doubt, even if it failed later: see --unknown.
    """
    if which is None:
        raise UsageError("expected --failed or --unknown")
    found = _look(desk, campaign, which, classes)
    number = len(found.message_ids)
    if not dry_run and number:
        if which == "unknown":
            _accept_duplicates(campaign, number, accept_duplicates)
        elif not yes:
            click.confirm(f"Send {counted(number, 'message')} again?", abort=True, err=True)
        number = _again(desk, campaign, found, which)
    document = {
        "campaign": campaign, "retried": number, "classes": dict(found.classes), "left": dict(found.left),
        "dry_run": dry_run,
    }  # fmt: skip
    if as_json:
        print_json(document)
        return
    rows = [{"last answer": kind, "messages": heads} for kind, heads in found.classes.items()]
    rows += [{"last answer": f"left: {reason}", "messages": heads} for reason, heads in found.left.items()]
    print_table(rows, ("last answer", "messages"))
    remark(f"{counted(number, 'message')} {'would be' if dry_run else 'will be'} sent again")


def _look(desk: Desk, campaign: str, which: str, classes: tuple[str, ...]) -> "Retry":
    from campaigns.retry import failed, in_doubt
    from suppression.policy import Policy

    policy = Policy.of(desk.workspace.settings)
    with desk.database.begin() as connection:
        if which == "failed":
            return failed(connection, campaign, classes, desk.clock.now(), policy)
        return in_doubt(connection, campaign, desk.clock.now(), policy)


def _accept_duplicates(campaign: str, number: int, typed: str | None) -> None:
    """The operator has typed the campaign's name, knowing that some people may get it twice.

    Raises:
        PlanError: they typed something else.
    """
    said = f"{counted(number, 'message')} may have arrived: sent again, some people get {campaign} twice"
    if typed is None:
        remark(f"{said}. `clarion reconcile {campaign} --mail-log FILE` finds out which did.")
        typed = click.prompt("Type the campaign's name to send them again all the same", err=True, default="")
    if typed.strip() != campaign:
        raise PlanError(
            f"nothing was sent; {said} (got {typed!r}, expected {campaign!r})",
            hint=f"clarion reconcile {campaign} --mail-log FILE",
        )


def _again(desk: Desk, campaign: str, found: "Retry", which: str) -> int:
    from campaigns.retry import again

    actor = acting_user()
    why = f"ordered again by {actor}" + ("" if which == "failed" else ", who accepted that it may arrive twice")
    size = desk.workspace.settings.workers.batch_size
    with desk.database.begin() as connection:
        return again(
            connection, campaign, found, why=why, action=f"retry.{which}", actor=actor, size=size, now=desk.clock.now()
        )
