"""`clarion survey`: what customers answered."""

from pathlib import Path

import click

from core.commands import Desk, json_option, print_json, print_table, remark, write_file, writing


@click.group()
def survey() -> None:
    """What customers answered to the surveys of surveys/."""


@survey.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk, as_json: bool) -> None:
    """List the surveys: heads asked, heads answered, and the Net Promoter Score where there is a rating."""
    from campaigns.surveys.files import surveys_of
    from reports.surveys.figures import summary, survey_report
    from reports.words import percent

    language, now = desk.workspace.settings.organisation.language, desk.clock.now()
    surveys = surveys_of(desk.workspace).values()
    with desk.database.begin() as connection:
        reports = [survey_report(connection, each, language=language, now=now) for each in surveys]
    if as_json:
        print_json({"surveys": [summary(each) for each in reports]})
    else:
        print_table([summary(each) | {"share": percent(each.share)} for each in reports])


@survey.command("show")
@click.argument("name", metavar="SURVEY")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with charts that needs no other file.",
)  # fmt: skip
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write every answer, with its words, as a table.",
)  # fmt: skip
@json_option
@click.pass_obj
def show(desk: Desk, name: str, html_file: Path | None, csv_file: Path | None, as_json: bool) -> None:
    """Show what came of one survey: who answered, ratings with mean and Net Promoter Score, choices, by tier.

    Each customer counts once, by the last answer. Intervals are of 95 %.
    """
    from campaigns.surveys.files import survey_of
    from reports.surveys.figures import document, survey_report
    from reports.surveys.page import page
    from reports.surveys.screen import lines
    from reports.surveys.texts import write_answers

    organisation = desk.workspace.settings.organisation
    asked = survey_of(desk.workspace, name)
    with desk.database.begin() as connection:
        found = survey_report(connection, asked, language=organisation.language, now=desk.clock.now())
        if csv_file is not None:
            with writing(csv_file):
                csv_file.parent.mkdir(parents=True, exist_ok=True)
                number = write_answers(connection, name, csv_file)
            remark(f"wrote {number:,} answers to {csv_file}")
    if as_json:
        print_json(document(found))
    else:
        for line in lines(found):
            click.echo(line)
    if html_file is not None:
        with writing(html_file.parent):
            html_file.parent.mkdir(parents=True, exist_ok=True)
        write_file(html_file, page(found, organisation))
        remark(f"wrote {html_file}")
