"""`init`, `validate`, `schema`: the files of a workspace."""

import json
from pathlib import Path

import click

from core.commands import Desk, counted, json_option, print_json, remark, write_file, writing
from core.errors import ConfigError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def init(desk: Desk, folder: Path) -> None:
    """Make a ready workspace in FOLDER, with a sample segment, template, campaign and customers."""
    from campaigns import starter

    with writing(folder):
        made = starter.make(folder, desk.clock.now().date())
    for name in made:
        click.echo(f"{folder / name}")
    remark(f"\nnext: cd {folder} && clarion validate")


@click.command()
@json_option
@click.pass_obj
def validate(desk: Desk, as_json: bool) -> None:
    """Check every file of the workspace: each mistake with its file and line, all in one go."""
    from campaigns.catalogue import examine
    from campaigns.remarks import remarks_on
    from campaigns.workspace_tests import loading as tests

    catalogue, problems = examine(desk.workspace)
    if catalogue is not None and not problems:
        problems += tests.examine(desk.workspace, catalogue, tests.paths_of(desk.workspace))[1]
    remarks = remarks_on(desk.workspace, catalogue) if catalogue is not None and not problems else []
    if as_json:
        rows = [{"file": p.file, "line": p.line, "message": p.message, "hint": p.hint} for p in problems]
        print_json({"valid": not problems, "problems": rows, "remarks": remarks})
    if problems and not as_json:
        raise ConfigError(problems=problems, hint=f"{len(problems)} to mend; nothing was changed")
    if problems:
        raise click.exceptions.Exit(1)
    for text in remarks:
        remark(f"remark: {text}")
    if not as_json and catalogue is not None:
        templates, campaigns = catalogue.templates.sources, catalogue.campaigns
        parts = (catalogue.segments, "segment"), (templates, "template"), (campaigns, "campaign")
        told = [counted(len(named), noun) for named, noun in parts]
        told += [counted(len(catalogue.sequences), "sequence")] if catalogue.sequences else []
        click.echo(f"fine: {', '.join(told)}")


@click.command()
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Default: .clarion/schemas")
@click.pass_obj
def schema(desk: Desk, folder: Path | None) -> None:
    """Write the JSON Schemas of clarion.yaml, segments, campaigns, events, surveys and tests, for editors."""
    from campaigns.definition import CampaignFile
    from campaigns.events.definition import EventFile
    from campaigns.sequences.definition import campaign_schema
    from campaigns.surveys.definition import SurveyFile
    from campaigns.workspace_tests.definition import WorkspaceTestFile
    from core.settings import Settings
    from segments.definition import SegmentFile

    target = folder or desk.workspace.state / "schemas"
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    models = (
        ("clarion", Settings), ("segment", SegmentFile), ("campaign", CampaignFile), ("event", EventFile),
        ("survey", SurveyFile), ("test", WorkspaceTestFile),
    )  # fmt: skip
    for name, model in models:
        path = target / f"{name}.json"
        content = campaign_schema() if name == "campaign" else model.model_json_schema(by_alias=True)
        write_file(path, json.dumps(content, indent=2) + "\n")
        click.echo(str(path))
