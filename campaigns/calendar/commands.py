"""`clarion calendar`: what goes out when, to how many."""

from pathlib import Path

import click

from core.commands import Desk, json_option, print_json, remark, write_file


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="How many days to look ahead.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page for the browser.")
@click.option("--ics", type=click.Path(path_type=Path, dir_okay=False), help="Write a file for calendar programs.")
@click.option("--link", "is_link", is_flag=True, help="Print the address that calendar programs subscribe to.")
@json_option
@click.pass_obj
def calendar(desk: Desk, days: int, html: Path | None, ics: Path | None, is_link: bool, as_json: bool) -> None:
    """Show what goes out when, to how many: what was applied, what comes again, who waits in sequences, events with
    their mails, and deadlines. Numbers are counted, estimated (~) or unknown (?)."""
    from campaigns.calendar import feed, page, screen
    from campaigns.calendar.gathering import gather

    settings = desk.workspace.settings
    if is_link:
        address = feed.link(desk.workspace, desk.clock.now() + settings.calendar.links_last)
        print_json({"link": address}) if as_json else click.echo(address)
        return
    with desk.database.begin() as connection:
        found = gather(connection, desk.workspace, desk.clock.now(), days)
    organisation = settings.organisation.name
    for path, written in ((html, page.written), (ics, feed.written)):
        if path is not None:
            write_file(path, written(found, organisation))
            remark(f"wrote {path}")
    if as_json:
        print_json(found.document())
    elif html is None and ics is None:
        click.echo("\n".join(screen.lines(found)))
