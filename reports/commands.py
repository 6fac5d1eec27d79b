"""`clarion report`: what came back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.commands import Desk, json_option, print_json, print_table, remark, write_file, writing
from core.errors import UsageError

if TYPE_CHECKING:
    from reports.figures import CampaignReport


@click.command()
@click.argument("campaign", required=False)
@click.option("--run", "run_id", type=int, help="Only this run of the campaign (default: all of them).")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with charts that needs no other file.",
)  # fmt: skip
@json_option
@click.pass_obj
def report(desk: Desk, campaign: str | None, run_id: int | None, html_file: Path | None, as_json: bool) -> None:
    """Show what came back from CAMPAIGN, or one line for each campaign.

    Shares are of the people written to. What scanners and privacy proxies did is counted apart.
    """
    if campaign is not None:
        _tell_one(desk, campaign, run_id, html_file, as_json=as_json)
    elif html_file is not None or run_id is not None:
        raise UsageError("--html and --run need a CAMPAIGN", hint="`clarion report` alone lists them")
    else:
        _tell_all(desk, as_json=as_json)


def _tell_one(desk: Desk, campaign: str, run_id: int | None, html_file: Path | None, *, as_json: bool) -> None:
    from reports.figures import document
    from reports.funnel import campaign_report
    from reports.screen import lines

    with desk.database.begin() as connection:
        found = campaign_report(connection, campaign, now=desk.clock.now(), run_id=run_id)
    if as_json:
        print_json(document(found))
    else:
        for line in lines(found):
            click.echo(line)
        for text in found.remarks:
            remark(f"note: {text}")
    if html_file is not None:
        _write_page(desk, found, html_file)


def _write_page(desk: Desk, found: "CampaignReport", html_file: Path) -> None:
    from reports.page import page

    with writing(html_file.parent):
        html_file.parent.mkdir(parents=True, exist_ok=True)
    write_file(html_file, page(found, desk.workspace.settings.organisation))
    remark(f"wrote {html_file}")


def _tell_all(desk: Desk, *, as_json: bool) -> None:
    from reports.figures import summary
    from reports.funnel import overview
    from reports.screen import overview_row

    with desk.database.begin() as connection:
        campaigns = overview(connection)
    if as_json:
        print_json({"campaigns": [summary(group, spent) for group, spent in campaigns]})
    elif campaigns:
        print_table(overview_row(group, spent) for group, spent in campaigns)
    else:
        remark("no campaign has been sent yet; `clarion plan` shows what would be")
