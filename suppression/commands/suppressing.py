"""`clarion suppress`: who may not be written to, and why."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from core.commands import DRY, Desk, counted, in_zone, json_option, print_json, print_table, remark, undone
from core.errors import NotFound, UsageError
from core.units import parse_duration
from suppression.commands.shared import audited, known_topic

#: The same as `suppression.gate.REASONS`, which cannot be imported without SQLAlchemy (a test compares them).
REASONS: Final = ("legal", "complaint", "hard_bounce", "unsubscribed", "manual", "paused")


@click.group()
def suppress() -> None:
    """Who must not be written to, and why.

    KEY is an external id or an e-mail address. Entries belong to the address: they bind every customer at it, and
    customers imported later.
    """


def _scope_options(command: Any) -> Any:
    for option in (
        click.option("--campaign", help="Only this campaign."),
        click.option("--topic", help="Only mail about this topic."),
        click.option(
            "--scope", type=click.Choice(["global", "channel"]), help="Everything (the default), or all e-mail."
        ),
    ):
        command = option(command)
    return command


def _length(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    try:
        return parse_duration(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@suppress.command("add")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@_scope_options
@click.option("--reason", type=click.Choice(REASONS), required=True, help="Why.")
@click.option(
    "--for", "length", callback=_length, metavar="DURATION", help="How long, such as 90d (default: for good)."
)
@click.option("--note", help="What happened, kept as evidence.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@json_option
@click.pass_obj
def add(
    desk: Desk, keys: tuple[str, ...], scope: str | None, topic: str | None, campaign: str | None, reason: str,
    length: timedelta | None, note: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Forbid writing to people.

    An address or external id that a customer had before means the address they have now, as well.
    """
    from suppression.people import keys_of
    from suppression.record import suppress as suppress_address

    place = _place(desk, scope, topic, campaign) or {"scope": "global", "scope_name": ""}
    now = desk.clock.now()
    expires_at = now + length if length else None
    results: list[dict[str, Any]] = []
    told = {**place, "reason": reason, "note": note}
    with undone(desk, dry_run) as connection:
        for named in keys:
            is_new = False
            for key in keys_of(connection, desk.workspace.secret, named):
                written = suppress_address(
                    connection, key, **place, reason=reason, source="operator",
                    evidence={"note": note} if note else None, expires_at=expires_at, now=now,
                )  # fmt: skip
                if written:
                    audited(connection, desk, "suppress.add", f"address:{key}", told)
                is_new = is_new or written
            results.append({"key": named, **place, "reason": reason, "expires_at": expires_at, "new": is_new})
    if as_json:
        print_json({"entries": results} | ({"dry_run": True} if dry_run else {}))
    else:
        new_count = sum(result["new"] for result in results)
        remark(f"{new_count} added, {len(results) - new_count} already there{DRY if dry_run else ''}")


@suppress.command("remove")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@_scope_options
@click.option("--reason", type=click.Choice(REASONS), help="Only entries with this reason.")
@click.option("--because", required=True, help="Why they may be written to again; kept with the entry.")
@json_option
@click.pass_obj
def remove(
    desk: Desk, keys: tuple[str, ...], scope: str | None, topic: str | None, campaign: str | None, reason: str | None,
    because: str, as_json: bool,
) -> None:  # fmt: skip
    """Lift entries: all of a person's, or those that fit the options.

    They stay in the list as lifted. Withdrawn consent stays withdrawn: only the customer can give it again.
    """
    from suppression.people import keys_of
    from suppression.record import lift

    place = _place(desk, scope, topic, campaign)
    results: list[dict[str, Any]] = []
    with desk.database.begin() as connection:
        for named in keys:
            count, told = 0, {**place, "reason": reason, "because": because}
            for key in keys_of(connection, desk.workspace.secret, named):
                lifted = lift(connection, key, because=because, reason=reason, now=desk.clock.now(), **place)
                if lifted:
                    audited(connection, desk, "suppress.remove", f"address:{key}", told)
                count += lifted
            if not count:
                raise NotFound(f"no entry of {named!r} fits", hint="`clarion suppress list` shows what there is")
            results.append({"key": named, "lifted": count})
    if as_json:
        print_json({"entries": results})
    else:
        remark(f"{sum(result['lifted'] for result in results)} lifted")


@suppress.command("list")
@click.argument("key", required=False, metavar="[KEY]")
@click.option("--reason", help="Only entries with this reason.")
@click.option("--all", "ended", is_flag=True, help="Lifted and expired entries, too.")
@json_option
@click.pass_obj
def list_(desk: Desk, key: str | None, reason: str | None, ended: bool, as_json: bool) -> None:
    """List the entries in force, newest first."""
    from suppression.export import digest_count
    from suppression.people import keys_of
    from suppression.register import entries

    with desk.database.begin() as connection:
        asked = keys_of(connection, desk.workspace.secret, key) if key else [None]
        rows = [
            row for each in asked
            for row in entries(connection, desk.clock.now(), key=each, reason=reason, ended=ended)
        ]  # fmt: skip
        digests = digest_count(connection, reason=reason) if key is None else 0
    if digests:
        remark(f"beside these, {counted(digests, 'digest')} of hashed lists, which block whoever has such an address")
    if as_json:
        print_json({"entries": rows})
        return
    columns = ["address", "customers", "scope", "scope_name", "reason", "source", "created_at", "expires_at"]
    columns += ["lifted_because"] if ended else []
    shown = [{**row, "customers": ", ".join(row["customers"]) or None} for row in rows]
    print_table(in_zone(shown, desk.zone), columns)


@suppress.command("check")
@click.argument("key", metavar="KEY")
@click.option("--topic", help="Only this topic (default: each of the workspace).")
@click.option("--campaign", default="", help="As in this campaign.")
@json_option
@click.pass_obj
def check(desk: Desk, key: str, topic: str | None, campaign: str, as_json: bool) -> None:
    """Say whether a person may be written to, and why not.

    Asks the gate every message passes, so the answer is what would happen. `transactional` answers for what is owed
    to this person, such as a receipt: that needs no consent, and opt-outs do not stop it.
    """
    from suppression.people import find_people
    from suppression.policy import Policy
    from suppression.register import answers

    topics = [known_topic(desk, topic)] if topic else list(desk.workspace.settings.topics)
    with desk.database.begin() as connection:
        people = find_people(connection, desk.workspace.secret, key)
        policy = Policy.of(desk.workspace.settings)
        rows = answers(connection, people, topics, campaign=campaign, now=desk.clock.now(), policy=policy)
    if as_json:
        print_json({"answers": rows})
    else:
        print_table(rows, ["customer", "topic", "may_write", "reason", "transactional", "transactional_reason"])


@suppress.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--hash", "algorithm", type=click.Choice(["sha256", "md5"]), default="sha256", show_default=True)
@click.option("--plain", is_flag=True, help="Addresses that can be read, to move to another installation.")
@click.option("--reason", help="Only entries with this reason.")
@json_option
@click.pass_obj
def export(desk: Desk, file: Path, algorithm: str, plain: bool, reason: str | None, as_json: bool) -> None:
    """Write the entries in force to a CSV file that `clarion import suppressions` reads.

    Hashed, so that whoever gets the file can keep these people from mail, and write to none of them: that holds what
    forbids every mail for good. With --plain, every entry; keep such a file to yourself.
    """
    from io import StringIO

    from core.commands import write_file
    from core.guard import GuardedWriter
    from suppression.export import Form, columns_of, digest_count, exported, unknown_count

    form: Form = "plain" if plain else algorithm  # type: ignore[assignment]  # one of the choices
    now, content = desk.clock.now(), StringIO(newline="")
    writer, count = GuardedWriter(content), 0
    writer.write(columns_of(form))
    with desk.database.begin() as connection:
        for row in exported(connection, form, reason=reason, now=now):
            writer.write(_cell(row[name]) for name in columns_of(form))
            count += 1
        unknown = unknown_count(connection, reason=reason, now=now)
        digests = digest_count(connection, reason=reason, other_than=form)
        audited(connection, desk, "suppress.export", "suppressions", {"form": form, "reason": reason, "rows": count})
    write_file(file, content.getvalue())
    if as_json:
        print_json({"file": str(file), "form": form, "rows": count, "unknown": unknown, "digests": digests})
        return
    remark(f"{count:,} written to {file}")
    if unknown:
        entries = counted(unknown, "entry", "entries")
        remark(f"{entries} of addresses no customer has: only a keyed hash of them is kept")
    if digests:
        left = "are hashes and no addresses: export them with --hash" if plain else f"are no {algorithm}"
        remark(f"left out: {counted(digests, 'digest')} of hashed lists {left}")


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return "" if value is None else str(value)


def _place(desk: Desk, scope: str | None, topic: str | None, campaign: str | None) -> dict[str, Any]:
    """The scope the options name; empty when they name none.

    Raises:
        UsageError: they name more than one, or an unknown topic.
    """
    if sum(option is not None for option in (scope, topic, campaign)) > 1:
        raise UsageError("got several scopes, expected one of --scope, --topic and --campaign")
    if topic is not None:
        return {"scope": "topic", "scope_name": known_topic(desk, topic)}
    if campaign is not None:
        return {"scope": "campaign", "scope_name": campaign}
    return {"scope": scope, "scope_name": ""} if scope else {}
