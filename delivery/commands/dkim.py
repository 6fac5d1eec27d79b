"""`clarion dkim`: keys are made, and their DNS records shown and looked up."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from core.commands import Desk, json_option, print_json, print_table, remark, writing
from core.errors import ConfigError, NotFound, UsageError
from core.names import did_you_mean

if TYPE_CHECKING:
    from core.dkim_settings import DkimDomain
    from delivery.dkim.keys import SigningKey


@click.group()
def dkim() -> None:
    """Make signing keys, and show the DNS records that go with them."""


@dkim.command()
@click.argument("domain")
@click.option("--selector", help="The key's name in DNS (default: the year and a letter, such as s2026a).")
@click.option("--ed25519", is_flag=True, help="A short modern key, for a second signature beside that of an RSA key.")
@json_option
@click.pass_obj
def generate(desk: Desk, domain: str, selector: str | None, ed25519: bool, as_json: bool) -> None:
    """Make a private key for DOMAIN, and print the DNS record to publish and the lines for clarion.yaml.

    The key is written to the workspace's folder `keys`, readable by its owner only. Nothing is signed with it before
    clarion.yaml names it. No key is ever replaced.
    """
    from delivery.dkim.key_files import free_selector, write_key
    from delivery.dkim.keys import SigningKey, new_key

    root = desk.workspace.root
    name = _checked_domain(domain)
    section = desk.workspace.settings.dkim.get(name)
    taken = {entry.selector for entry in section.keys} if section else set()
    if selector is None:
        selector = free_selector(root, name, taken, desk.clock.now().date(), ed25519=ed25519)
    _check_selector(selector, taken)
    key = SigningKey(name, selector, new_key(ed25519=ed25519))
    with writing(root / "keys"):
        file = write_key(root, name, selector, key.private)
    lines = f"dkim:\n  {name}:\n    keys:\n      - {{selector: {selector}, file: {file}}}\n"
    if as_json:
        print_json({**_described(key, signs=None), "file": file, "settings": lines})
        return
    click.echo(_shown(key, "new"))
    click.echo(f"\nThe lines for clarion.yaml, once the record is published:\n\n{lines}")
    remark(f"the private key is in {file}; it is needed on every machine that sends, and nowhere else")


@dkim.command()
@click.argument("domain", required=False)
@json_option
@click.pass_obj
def record(desk: Desk, domain: str | None, as_json: bool) -> None:
    """Print the DNS records to publish, as lines of a zone file, for every key in clarion.yaml.

    Keys that do not sign yet, or no longer, are among them: their records must be in DNS too.
    """
    keys = _keys(desk, domain)
    if as_json:
        print_json([_described(key, signs=signs) for key, signs in keys])
        return
    click.echo("\n\n".join(_shown(key, "signs" if signs else "does not sign") for key, signs in keys))


@dkim.command()
@click.argument("domain", required=False)
@click.option("--server", help="Ask the name server at this IP address (default: those this machine uses).")
@click.option("--port", type=click.IntRange(1, 65535), default=53, show_default=True, help="Its port.")
@json_option
@click.pass_obj
def check(desk: Desk, domain: str | None, server: str | None, port: int, as_json: bool) -> None:
    """Look the records up in DNS, and compare them with the keys. Exit code 1 when one is wrong."""
    from delivery.dkim.lookup import look_up

    keys = _keys(desk, domain)
    signing = {key.dns_name: signs for key, signs in keys}
    rows = [
        {
            "ok": found.fault is None,
            "name": found.key.dns_name,
            "signs": signing[found.key.dns_name],
            "detail": found.fault or "as it should be",
        }
        for found in look_up([key for key, _ in keys], server, port)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)
    if not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(1)


def _keys(desk: Desk, domain: str | None) -> list[tuple["SigningKey", bool]]:
    """The keys of one domain, or of all, each with whether it signs."""
    from delivery.dkim.signers import signing_key

    settings = desk.workspace.settings.dkim
    if not settings:
        hint = "`clarion dkim generate DOMAIN` makes a key, and prints the lines that name it"
        raise NotFound("clarion.yaml names no DKIM key", hint=hint)
    chosen: Mapping[str, DkimDomain] = settings
    if domain is not None:
        name = _checked_domain(domain)
        if name not in settings:
            raise NotFound(f"clarion.yaml names no DKIM key of {name}", hint=did_you_mean(name, settings))
        chosen = {name: settings[name]}
    root = desk.workspace.root
    return [(signing_key(name, entry, root), entry.signs) for name, section in chosen.items() for entry in section.keys]


def _checked_domain(text: str) -> str:
    from core.dkim_settings import checked_domain

    try:
        return checked_domain(text)
    except ValueError as error:
        raise UsageError(f"DOMAIN: {error}") from None


def _check_selector(selector: str, taken: set[str]) -> None:
    from core.dkim_settings import checked_selector

    try:
        checked_selector(selector)
    except ValueError as error:
        raise UsageError(f"--selector: {error}") from None
    if selector in taken:
        hint = "a new key needs a new selector: mail signed with the old one is still on its way"
        raise ConfigError(f"clarion.yaml names a key of selector {selector!r}", hint=hint)


def _described(key: "SigningKey", *, signs: bool | None) -> dict[str, Any]:
    from delivery.dkim.records import record_value, txt_strings

    value = record_value(key)
    described = {"domain": key.domain, "selector": key.selector, "algorithm": key.algorithm, "bits": key.bits}
    if signs is not None:
        described["signs"] = signs
    return {**described, "record": {"name": key.dns_name, "type": "TXT", "value": value, "strings": txt_strings(value)}}


def _shown(key: "SigningKey", state: str) -> str:
    """The record in the words of a web form, as comments, and as lines of a zone file."""
    from delivery.dkim.records import record_value, zone_lines

    kind = f"RSA, {key.bits} bits" if key.is_rsa else "Ed25519"
    return (
        f"; {key.domain}, selector {key.selector} ({kind}): {state}\n"
        f"; name   {key.dns_name}\n; type   TXT\n; value  {record_value(key)}\n{zone_lines(key)}"
    )
