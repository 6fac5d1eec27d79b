"""The commands of mails that come in: what one says, which came, and the process that takes them in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from core.commands import json_option, print_json, print_table


@click.group()
def inbound() -> None:
    """Take in bounces, complaints, automatic answers, opt-outs and replies."""


@inbound.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path, readable=True))
@json_option
def classify(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what mails in files (or folders of files) report about whom. Nothing is stored, nothing follows."""
    rows = [row for file in _each(files) for row in _classified(file)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("file", "recipient", "class", "status", "diagnostic"))


def _each(files: tuple[Path, ...]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            yield from sorted(path for path in file.iterdir() if path.is_file())
        else:
            yield file


def _classified(file: Path) -> list[dict[str, Any]]:
    from tracking.inbound.files import beginning
    from tracking.inbound.reading import read

    content, is_whole = beginning(file)
    reading = read(content)
    flaws = [*reading.mail.flaws, *([] if is_whole else ["only its beginning was read"])]
    return [
        {
            "file": str(file),
            "recipient": finding.recipient,
            "class": finding.shown_class,
            "status": finding.status,
            "action": finding.action,
            "diagnostic": finding.diagnostic[:200],
            "flaws": flaws,
        }
        for finding in reading.findings
    ]
