"""The commands of mails that come in: what one says, which came, and the process that takes them in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from core.commands import Desk, counted, in_zone, json_option, print_json, print_table
from core.errors import EngineError


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
            "permanent": finding.is_permanent,
            "counts_as": finding.counts_as,
            "status": finding.status,
            "action": finding.action,
            "diagnostic": finding.diagnostic[:200],
            "flaws": flaws,
        }
        for finding in reading.findings
    ]


@inbound.command()
@click.option("--once", is_flag=True, help="Look into every mailbox once, handle what is there, and end.")
@click.pass_obj
def run(desk: Desk, once: bool) -> None:
    """Take mails in: listen, look into mailboxes, and do what follows. `clarion up` runs this where it is set up."""
    import signal

    from campaigns.presence import Present
    from core.database import open_database
    from workers.commands.processes import log_to_stderr
    from workers.intake import Intake, mailboxes

    log_to_stderr()
    if not desk.workspace.settings.inbound.is_used:
        hint = "name a listener, a maildir or a mailbox under `inbound:` in clarion.yaml"
        raise EngineError("there is nowhere for mails to come in", hint=hint)
    intake = Intake(desk.workspace, open_database(desk.workspace, "inbound"), desk.clock)
    try:
        if once:
            fetched = sum(intake.fetch(mailbox) for mailbox in mailboxes(desk.workspace, intake.database))
            intake.handle()
            click.echo(f"{counted(fetched, 'mail')} fetched")
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: intake.stopping.set())
        with Present(intake.database.url, "inbound"):
            intake.run()
    finally:
        intake.database.dispose()


@inbound.command("list")
@click.option("--aside", is_flag=True, help="Only mails that were kept aside.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="The latest so many.")
@json_option
@click.pass_obj
def list_(desk: Desk, aside: bool, limit: int, as_json: bool) -> None:
    """List mails that came in, the latest first."""
    from tracking.inbound.register import latest

    with desk.database.begin() as connection:
        rows = latest(connection, aside=aside, limit=limit)
    if as_json:
        print_json({"mails": rows})
    else:
        print_table(in_zone(rows, desk.zone), ("mail", "received_at", "source", "state", "class", "message", "problem"))


@inbound.command()
@click.argument("mail", type=int)
@click.option("--raw", is_flag=True, help="Print the mail itself, as it came.")
@click.option("--again", is_flag=True, help="Have a mail that was kept aside handled again.")
@json_option
@click.pass_obj
def show(desk: Desk, mail: int, raw: bool, again: bool, as_json: bool) -> None:
    """Show one mail that came in: what it says, and what followed."""
    from tracking.inbound import register, storage

    with desk.database.begin() as connection:
        if again and not storage.try_again(connection, mail) and register.one(connection, mail) is not None:
            raise EngineError(f"inbound mail {mail} is not kept aside, or only its beginning is stored")
        row = register.one(connection, mail)
        if row is None:
            raise EngineError(f"there is no inbound mail {mail}", hint="`clarion inbound list` shows the latest")
        events = register.events(connection, mail)
        content = register.content(connection, mail)
    if raw:
        click.echo(content or b"", nl=False)
    elif as_json:
        print_json({**row, "events": events})
    else:
        print_table(in_zone([row], desk.zone))
        print_table(events)
        _print_beginning(content)


#: So much of a mail's text is shown.
_SHOWN_CHARACTERS = 1000


def _print_beginning(content: bytes | None) -> None:
    """Who wrote, about what, and the beginning of the text; `--raw` has all of it."""
    from core.plain_text import one_line, plain
    from tracking.inbound.leaving import words_of
    from tracking.inbound.reading import read

    if content is None:
        click.echo("\nthe mail itself is not kept any more")
        return
    mail = read(content).mail
    for name in ("from", "subject"):
        click.echo(f"\n{name.title()}: {one_line(mail.top.first(name))}", nl=False)
    click.echo(f"\n\n{plain(words_of(mail, _SHOWN_CHARACTERS))}")
