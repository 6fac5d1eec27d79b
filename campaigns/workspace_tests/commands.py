"""`clarion test`: the tests of the workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.commands import Desk, counted, json_option, print_json, remark, write_file

if TYPE_CHECKING:
    from campaigns.workspace_tests.loading import TestCase
    from campaigns.workspace_tests.running import Result


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="[FILE]...")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the results as JUnit's XML, too.")
@click.option("--case", "only", metavar="TEXT", help="Only cases whose name holds this.")
@json_option
@click.pass_obj
def test(desk: Desk, files: tuple[Path, ...], junit: Path | None, only: str | None, as_json: bool) -> None:
    """Play the tests of the workspace (tests/*.yaml): given these people and events, who gets what when.

    The real engine on a virtual clock, in an empty world of its own: nothing is written or sent.

    Exit code: 0 everything as expected, 1 something is not, or a file has mistakes.
    """
    from campaigns import catalogue as loaded
    from campaigns.workspace_tests.junit import to_xml
    from campaigns.workspace_tests.loading import load
    from campaigns.workspace_tests.running import run

    catalogue = loaded.load(desk.workspace)
    cases = _chosen(load(desk.workspace, catalogue, files), only)
    results = run(desk.database, desk.workspace, catalogue, cases, (lambda _: None) if as_json else _tell)
    if junit is not None:
        write_file(junit, to_xml(results))
    failed = [result for result in results if not result.passed]
    if as_json:
        print_json(_document(results))
    else:
        seconds = sum(result.seconds for result in results)
        summary = f"{counted(len(results), 'case')}, {len(failed)} failed, {seconds:.1f} s"
        click.secho(summary, fg="red" if failed else "green", bold=True)
    if failed:
        raise click.exceptions.Exit(1)


def _chosen(cases: "list[TestCase]", only: str | None) -> "list[TestCase]":
    """Those whose name holds the text.

    Raises:
        NotFound: none does.
    """
    from core.errors import NotFound
    from core.names import did_you_mean

    chosen = [case for case in cases if only is None or only in case.name]
    if not chosen and only is not None:
        raise NotFound(f"no case whose name holds {only!r}", hint=did_you_mean(only, [case.name for case in cases]))
    return chosen


def _tell(result: "Result") -> None:
    mark = click.style("ok    ", fg="green") if result.passed else click.style("FAILED", fg="red")
    click.echo(f"{mark} {result.case.shown}")
    for finding in result.findings:
        click.echo(f"       {result.case.document.file}:{finding.line}: {finding.what}")
        if finding.expected is not None:
            click.secho(f"         - expected  {finding.expected}", fg="red")
        if finding.found is not None:
            click.secho(f"         + found     {finding.found}", fg="green")
    if not result.passed and result.found is not None:
        _tell_messages(result)


def _tell_messages(result: "Result") -> None:
    """Everything that was found: what a new expectation is written from."""
    from campaigns.workspace_tests.expecting import shown

    assert result.found is not None  # noqa: S101  asked before
    remark(f"         all messages of the case: {'' if result.found.messages else 'none'}", faint=True)
    for message in result.found.messages:
        remark(f"           {shown(message)}", faint=True)


def _document(results: "list[Result]") -> dict[str, Any]:
    from dataclasses import asdict

    failed = sum(not result.passed for result in results)
    cases = [
        {
            "file": result.case.document.file,
            "case": result.case.name,
            "line": result.case.line(),
            "passed": result.passed,
            "seconds": round(result.seconds, 2),
            "findings": [asdict(finding) for finding in result.findings],
            "messages": [asdict(message) for message in result.found.messages] if result.found else [],
        }
        for result in results
    ]
    return {"passed": len(results) - failed, "failed": failed, "cases": cases}
