"""`clarion transport`: the ways out, what is held, and how to hold and resume."""

from collections.abc import Mapping

import click

from core.commands import Desk, acting_user, in_zone, json_option, print_json, print_table
from core.errors import ConfigError, NotFound, TransportError


@click.group()
def transport() -> None:
    """Show the transports; test, pause and resume them."""


@transport.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk, as_json: bool) -> None:
    """Show every transport with its rate and what keeps it, and the recipient domains that are slowed or held."""
    from delivery import overview

    settings = desk.workspace.settings
    with desk.database.begin() as connection:
        ways = [way.document() for way in overview.transports(connection, settings)]
        domains = [domain.document() for domain in overview.slow_domains(connection, settings)]
    if as_json:
        print_json({"transports": ways, "routes": {**settings.routes}, "domains": domains})
        return
    columns = ("transport", "address", "state", "rate", "sent_today", "allowed_today", "until", "because")
    shown_ways = [{**way, "rate": _shown_rate(way["rate"])} for way in ways]
    print_table(in_zone(shown_ways, desk.zone), columns)
    if settings.routes:
        click.echo()
        print_table({"route": name, "takes": _shown_route(route)} for name, route in settings.routes.items())
    if domains:
        click.echo()
        shown_domains = [{**domain, "rate": _shown_rate(domain["rate"])} for domain in domains]
        print_table(in_zone(shown_domains, desk.zone), ("domain", "state", "rate", "since", "until", "because"))


def _shown_rate(rate: float | None) -> str | None:
    """`600/min`: messages in the unit in which the number is the easiest to read."""
    if rate is None:
        return None
    units = {"s": 1, "min": 60, "h": 3600, "day": 86400}
    unit = next((unit for unit, seconds in units.items() if rate * seconds >= 1), "s")
    number = rate * units[unit]
    return f"{number:,.0f}/{unit}" if round(number) == round(number, 1) else f"{number:,.1f}/{unit}"


def _shown_route(route: Mapping[str, int | str]) -> str:
    """`main 3 of 4, backup 1 of 4, spare (standby)`: of so many messages so many."""
    whole = sum(weight for weight in route.values() if isinstance(weight, int))
    return ", ".join(
        f"{name} {weight} of {whole}" if isinstance(weight, int) else f"{name} ({weight})"
        for name, weight in route.items()
    )


@transport.command("test")
@click.argument("name")
@json_option
@click.pass_obj
def test_(desk: Desk, name: str, as_json: bool) -> None:
    """Speak with the server of the transport NAME as for real mail (TLS, login), and send nothing.

    Exit code 1 when mail could not go.
    """
    from core.names import did_you_mean
    from delivery.greeting import greet

    transports = desk.workspace.settings.transports
    if name not in transports:
        raise NotFound(f"no transport {name!r}", hint=did_you_mean(name, transports))
    (greeted,) = greet({name: transports[name]}, desk.workspace.root)
    if as_json:
        hint = greeted.fault.hint if greeted.fault is not None else ""
        print_json({"transport": name, "ok": greeted.fault is None, "detail": greeted.detail, "hint": hint})
    if greeted.fault is not None and not as_json:
        raise TransportError(greeted.detail, hint=greeted.fault.hint)
    if greeted.fault is not None:
        raise click.exceptions.Exit(1)
    if not as_json:
        click.echo(f"{name}: {greeted.detail}")


@transport.command()
@click.argument("name")
@click.option("--because", default="paused by hand", show_default=True, help="What others should know about it.")
@click.pass_obj
def pause(desk: Desk, name: str, because: str) -> None:
    """Hand over nothing more through the transport NAME, or to the recipient domain NAME, until it is resumed.

    Messages take the other transports of their route; where there is none, they wait.
    """
    from delivery import holds

    ledger, key = desk.ledger, _key(desk, name)
    with ledger.begin() as connection:
        holds.hold(connection, key, because=because, by=holds.HeldBy.OPERATOR, actor=acting_user())
    click.echo(f"{name}: paused")


@transport.command()
@click.argument("name")
@click.pass_obj
def resume(desk: Desk, name: str) -> None:
    """Use the transport NAME again, or write to the recipient domain NAME again, whatever held it."""
    from delivery import holds

    ledger, key = desk.ledger, _key(desk, name)
    with ledger.begin() as connection:
        was_held = holds.release(connection, key, actor=acting_user())
    click.echo(f"{name}: resumed" if was_held else f"{name}: was not held")


def _key(desk: Desk, name: str) -> str:
    """The row that `name` means: a transport, or else a recipient domain, which has a dot in it."""
    from core.names import did_you_mean
    from delivery.throttles import domain_key, transport_key

    try:
        transports = desk.workspace.settings.transports
    except ConfigError:  # in need: the name is taken as it is
        return domain_key(name.lower()) if "." in name else transport_key(name)
    if name in transports:
        return transport_key(name)
    if "." in name:
        return domain_key(name.lower())
    raise NotFound(f"no transport {name!r}", hint=did_you_mean(name, transports))
