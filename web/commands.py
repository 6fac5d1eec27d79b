"""`clarion web`: the public pages, until told to stop."""

import click

from core.commands import Desk


@click.command()
@click.option("--host", help="Where to listen (default: `web.host` of clarion.yaml).")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any free port (default: `web.port`).")
@click.pass_obj
def web(desk: Desk, host: str | None, port: int | None) -> None:
    """Serve tracked links, and the pages for signing up, preferences, unsubscribing and people's own data.

    Stops on Ctrl-C or SIGTERM, after the requests under way are answered and every hit is stored. Behind a
    proxy on another machine, name it in `web.proxies`.
    """
    from core.database import open_database
    from web.server import serve

    chosen = desk.workspace.settings.web
    serve(
        desk.workspace, open_database(desk.workspace, "web"), desk.clock,
        host=chosen.host if host is None else host, port=chosen.port if port is None else port,
    )  # fmt: skip
