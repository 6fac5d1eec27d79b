"""`clarion audit`: who did what, and whether anybody changed that afterwards."""

from typing import Any

import click

from core.commands import Desk, in_zone, json_option, print_json, print_table, remark
from core.errors import NotFound, UsageError
from core.units import parse_duration


@click.group()
def audit() -> None:
    """Who sent what to whom, who gave data out, who changed consent."""


@audit.command("list")
@click.option("--action", help="Only this action, such as suppress.add, or all that begin so, such as suppress.")
@click.option("--actor", help="Only what this user did.")
@click.option("--customer", "key", metavar="KEY", help="Only what concerns this customer.")
@click.option("--within", metavar="DURATION", help="Only the last, such as 7d.")
@click.option("--most", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def list_(
    desk: Desk, action: str | None, actor: str | None, key: str | None, within: str | None, most: int, as_json: bool
) -> None:
    """List what was done, the newest first."""
    from core.audit import entries

    with desk.ledger.begin() as connection:
        subject = f"customer:{_customer(connection, desk, key)}" if key else None
        since = desk.clock.now() - _length(within) if within else None
        rows = entries(connection, action=action, actor=actor, subject=subject, since=since, most=most)
    if as_json:
        print_json({"entries": rows})
    else:
        print_table(in_zone([{**row, "detail": _flat(row["detail"])} for row in rows], desk.zone))


@audit.command("verify")
@click.option("--seal", metavar="SEAL", help="A seal that was noted before: the entries up to it are the same still.")
@json_option
@click.pass_obj
def verify(desk: Desk, seal: str | None, as_json: bool) -> None:
    """Check that no entry was changed, removed or inserted afterwards. Exit code 1 when one was.

    Each entry is sealed together with the one before. Whoever owns the database could seal all of them anew: note the
    seal this prints somewhere else from time to time, and give it with --seal.
    """
    from core.audit import holds_seal
    from core.audit import verify as verify_chain

    with desk.ledger.begin() as connection:
        verdict = verify_chain(connection)
        is_held = seal is None or holds_seal(connection, _checked_seal(seal))
    flaws = [{"number": flaw.number, "what": flaw.what} for flaw in verdict.flaws]
    if not is_held:
        flaws.append({"number": None, "what": "no entry has the seal that was noted: the chain was made anew"})
    if as_json:
        print_json({"sound": not flaws, "entries": verdict.count, "seal": verdict.seal, "flaws": flaws})
    else:
        print_table(flaws) if flaws else remark(f"{verdict.count:,} entries, none changed")
        click.echo(verdict.seal)
    if flaws:
        raise click.exceptions.Exit(1)


def _checked_seal(text: str) -> str:
    try:
        bytes.fromhex(text)
    except ValueError:
        raise UsageError("--seal: expected hexadecimal digits, as `clarion audit verify` prints them") from None
    return text


def _length(text: str) -> Any:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--within: {error}") from None


def _customer(connection: Any, desk: Desk, key: str) -> int:
    from customers.identity import find_customer

    row = find_customer(connection, key, desk.workspace.secret)
    if row is None:
        raise NotFound(f"there is no customer {key!r}", hint="give the external id or the e-mail address")
    return int(row["id"])


def _flat(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in detail.items())
