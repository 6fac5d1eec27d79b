"""`clarion import`, `clarion tiers` and `clarion customer`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.commands import DRY, Desk, acting_user, json_option, local, print_json, print_table, progress, remark
from customers.merging import commands as merging
from customers.rights import commands as rights

if TYPE_CHECKING:
    from customers.importing.files import How, Imported
    from customers.tiers import Level

_BAR_WIDTH = 30


@click.group("import")
def import_() -> None:
    """Import customers, purchases, events, consents or suppressions from CSV or TSV.

    Delimiter and encoding are detected. Well-known headers are understood, others are named with --map. Rows that
    cannot be imported go to a rejects file with the reason. Importing a file again changes nothing.
    """


def _file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every kind of import takes."""
    for option in reversed((
        click.argument("file", type=click.Path(path_type=Path, dir_okay=False)),
        click.option("--map", "pairs", multiple=True, metavar="COLUMN=FIELD",
                     help="Which field a column is; attributes.NAME keeps it, - leaves it out. Repeatable."),
        click.option("--encoding", help="The file's encoding, instead of detecting it."),
        click.option("--delimiter", help="One character, or comma, semicolon, tab, pipe."),
        click.option("--dates", type=click.Choice(["dmy", "mdy"]), help="The order in dates such as 3/4/2026."),
        click.option("--decimal", type=click.Choice(["point", "comma"]), help="The decimal sign in numbers."),
        click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False),
                     help="Where rejected rows go (default: FILE.rejects.csv)."),
        click.option("--dry-run", is_flag=True, help="Do everything, then undo it."),
        json_option,
    )):  # fmt: skip
        command = option(command)
    return command


@import_.command("customers")
@_file_options
@click.pass_obj
def import_customers(desk: Desk, /, file: Path, as_json: bool, **options: Any) -> None:
    """People and firms.

    Fields: external_id, email, first_name, last_name, company, phone, country, language, zone, owner, person (the same
    for several addresses of one human being), household, topics
    (agreed to, separated by semicolons), consent_at, consent_basis, source. Other columns become attributes.
    """
    _run(desk, "customers", file, _how(**options), as_json)


@import_.command("purchases")
@_file_options
@click.option("--create-customers", is_flag=True, help="Create customers nobody knows yet.")
@click.option("--email-pattern", metavar="PATTERN",
              help="The address of created customers, for example c{customer}@customers.example.")  # fmt: skip
@click.pass_obj
def import_purchases(
    desk: Desk, /, file: Path, as_json: bool, create_customers: bool, email_pattern: str | None, **options: Any
) -> None:
    """Lines of orders; returns and cancelled lines count as negative.

    Fields: external_id or email (of the customer), order_id, line_number, ordered_at, product, category,
    description, quantity, unit_price, amount, unit_cost, cost, currency, status, country.
    """
    from customers.importing.importer import NewCustomers

    new_customers = NewCustomers(create_customers, email_pattern)
    _run(desk, "purchases", file, _how(**options, new_customers=new_customers), as_json)


@import_.command("events")
@_file_options
@click.pass_obj
def import_events(desk: Desk, /, file: Path, as_json: bool, **options: Any) -> None:
    """What customers did: page views, tickets, visits.

    Fields: external_id or email, name, occurred_at, value, source, event_key. Other columns become properties.
    """
    _run(desk, "events", file, _how(**options), as_json)


@import_.command("consents")
@_file_options
@click.pass_obj
def import_consents(desk: Desk, /, file: Path, as_json: bool, **options: Any) -> None:
    """Who agreed to which topic, or withdrew.

    Fields: external_id or email, topic, state (granted, confirmed, withdrawn), captured_at, basis, channel, source,
    wording, expires_at. Other columns become the proof.
    """
    _run(desk, "consents", file, _how(**options), as_json)


@import_.command("suppressions")
@_file_options
@click.pass_obj
def import_suppressions(desk: Desk, /, file: Path, as_json: bool, **options: Any) -> None:
    """Addresses that must not be written to.

    Fields: email, scope (global, channel, topic, campaign), topic, campaign, channel, reason, created_at,
    expires_at. Nothing is ever lifted by an import.
    """
    _run(desk, "suppressions", file, _how(**options), as_json)


def _how(pairs: tuple[str, ...], **options: Any) -> "How":
    from customers.importing.fields import parse_mapping
    from customers.importing.files import How

    return How(mapping=parse_mapping(pairs), **options)


def _run(desk: Desk, kind: str, file: Path, how: "How", as_json: bool) -> None:
    from dataclasses import asdict

    from customers.importing.files import import_file

    imported = import_file(
        desk.database, desk.workspace, kind, file,
        now=desk.clock.now(), how=how, progress=progress, actor=acting_user(),
    )  # fmt: skip
    for line in imported.remarks:
        remark(line)
    if as_json:
        print_json(asdict(imported.counts))
    else:
        _print_counts(imported, how)


def _print_counts(imported: "Imported", how: "How") -> None:
    counts = imported.counts
    told = (
        f"{counts.read:,} rows read: {counts.created:,} created, {counts.updated:,} updated, "
        f"{counts.unchanged:,} unchanged, {counts.rejected:,} rejected in {counts.seconds:.1f} s"
    )
    click.echo(told + (DRY if how.dry_run else ""))
    if counts.rejects_file:
        click.echo(f"rejected rows and why: {counts.rejects_file}")


@click.command("tiers")
@click.option("--scheme", type=click.Choice(["rfm", "abc", "pyramid", "quadrant"]), help="Only this scheme.")
@click.option("--as-of", "as_of_text", metavar="DATE",
              help="Compute for this day's beginning (or instant) and store nothing.")  # fmt: skip
@json_option
@click.pass_obj
def tiers(desk: Desk, scheme: str | None, as_of_text: str | None, as_json: bool) -> None:
    """Show how many customers are in each level, and their revenue."""
    from dataclasses import asdict

    from customers.tiers import count_levels, measured_at

    settings = desk.workspace.settings
    as_of = _instant(as_of_text, settings.organisation.zone) if as_of_text else None
    with desk.database.begin() as connection:
        levels = count_levels(connection, settings.tiers, scheme=scheme, as_of=as_of)
        instant = as_of or measured_at(connection)
    if as_json:
        print_json([asdict(level) for level in levels])
        return
    if instant is None:
        click.echo("no metrics yet: import customers and purchases first")
        return
    remark(f"as of {local(instant, settings.organisation.zone)}, revenue in {settings.tiers.currency}")
    _print_levels(levels)


def _instant(text: str, zone: str) -> datetime:
    from core.errors import UsageError
    from customers.importing.values import Formats, Rejected, instant_reader

    try:
        return instant_reader(Formats(zone))(text)
    except Rejected as reason:
        raise UsageError(f"--as-of: {reason}") from None


def _print_levels(levels: "list[Level]") -> None:
    for scheme in dict.fromkeys(level.scheme for level in levels):
        click.echo(f"\n{scheme}")
        print_table(
            {
                "level": level.level,
                "customers": level.customers,
                "revenue": level.revenue,
                "share": f"{level.share_of_revenue:6.1%}",
                "": _bar(level.share_of_revenue),
                "recency_days": level.mean_recency,
                "orders": level.mean_frequency,
                "per_customer": level.mean_monetary,
            }
            for level in levels
            if level.scheme == scheme
        )


def _bar(share: float) -> str:
    """The share as a bar of eighths of a character, so that small levels show too."""
    eighths = max(0, min(_BAR_WIDTH * 8, round(share * _BAR_WIDTH * 8)))
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (" ▏▎▍▌▋▊▉"[part] if part else "")).ljust(_BAR_WIDTH)


@click.group("customer")
def customer() -> None:
    """Look at customers, make one of two who are the same, give out and erase what is kept about them."""


@customer.command("show")
@click.argument("key")
@json_option
@click.pass_obj
def show(desk: Desk, key: str, as_json: bool) -> None:
    """Show everything about the customer KEY, an external id or an e-mail address."""
    from core.errors import NotFound
    from customers.identity import find_customer, shown_name
    from customers.profile import customer_profile

    with desk.database.begin() as connection:
        row = find_customer(connection, key, desk.workspace.secret)
        if row is None:
            raise NotFound(f"there is no customer {key!r}", hint="give the external id or the e-mail address")
        settings = desk.workspace.settings
        profile = customer_profile(connection, row, now=desk.clock.now(), cases=settings.care.cases)
    if as_json:
        print_json(profile)
    else:
        _print_profile(shown_name(row), profile, settings.organisation.zone)


def _print_profile(name: str, profile: dict[str, Any], zone: str) -> None:
    from core.commands import in_zone, shown

    click.echo(name)
    for title in ("customer", "metrics"):
        click.echo(f"\n{title}")
        for field, value in in_zone([profile[title] or {}], zone)[0].items():
            if value not in (None, {}):
                click.echo(
                    f"  {field.replace('_', ' '):<20} {_flat(value) if isinstance(value, dict) else shown(value)}"
                )
    kept = ("consents", "suppressions", "messages", "orders", "level_changes")
    for title in (*kept, *(name for name in _WHERE_ANY if profile[name])):
        click.echo(f"\n{title.replace('_', ' ')}")
        print_table(in_zone(profile[title], zone))


#: Nobody reads headings of nothing.
_WHERE_ANY = ("registrations", "inquiries", "passages", "wishes", "open_cases")


def _flat(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes.items())


customer.add_command(merging.merge)
customer.add_command(merging.duplicates)
customer.add_command(rights.export)
customer.add_command(rights.erase)
customer.add_command(rights.readmit)
