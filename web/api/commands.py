"""`clarion api-key`: a key for a program that calls the HTTP API."""

import click

from core.commands import json_option, print_json, remark


@click.command("api-key")
@json_option
def api_key(as_json: bool) -> None:
    """Make a key for a program that calls the HTTP API.

    The key is shown this once and kept nowhere: give it to the program. clarion.yaml gets its hash alone, as
    `sha256` of an entry of `api.keys`.
    """
    import secrets

    from core.api_settings import hash_of

    key = f"ck_{secrets.token_urlsafe(32)}"
    if as_json:
        print_json({"key": key, "sha256": hash_of(key)})
        return
    click.echo(key)
    remark(f"for clarion.yaml:\n\napi:\n  keys:\n    NAME:\n      sha256: {hash_of(key)}\n      scopes: [activities]")
