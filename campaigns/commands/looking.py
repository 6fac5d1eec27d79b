"""`preview`, `send-test`: a mailing before anybody gets it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from campaigns.commands.ordering import given_options
from campaigns.commands.persons import person_of
from core.commands import Desk, acting_user, write_file, writing

if TYPE_CHECKING:
    from campaigns.preview import Preview


@click.command()
@click.argument("campaign")
@click.option("--as", "key", required=True, help="A customer: external id or e-mail address.")
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the HTML part.")
@click.option("--eml", "eml_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the whole mail.")
@click.option("--png", "png_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture of it.")
@click.option("--step", help="Which step of a sequence; without it the first one that sends.")
@given_options
@click.pass_obj
def preview(
    desk: Desk,
    campaign: str,
    key: str,
    step: str | None,
    html_file: Path | None,
    eml_file: Path | None,
    png_file: Path | None,
    given: Mapping[str, Any],
) -> None:
    """Render CAMPAIGN's mailing for one customer: on screen, or as .html, .eml or .png."""
    made = _preview(desk, campaign, key, given, step)
    mail = made.mail
    if html_file:
        write_file(html_file, made.page)
    if eml_file:
        write_file(eml_file, made.content)
    if png_file:
        from templates.preview import write_png

        with writing(png_file):
            write_png(made.page, png_file)
    for path in (html_file, eml_file, png_file):
        if path:
            click.echo(str(path))
    if not (html_file or eml_file or png_file):
        click.echo(f"From:    {mail.sender_name} <{mail.sender_email}>")
        click.echo(f"To:      {mail.recipient_email}")
        click.echo(f"Subject: {mail.subject}")
        if mail.attachments:
            click.echo(f"With:    {', '.join(file.name for file in mail.attachments)}")
        click.echo(f"\n{mail.text}")


def _preview(desk: Desk, campaign: str, key: str, given: Mapping[str, Any], step: str | None = None) -> "Preview":
    from campaigns import catalogue as files
    from campaigns.preview import preview as render

    catalogue = files.load(desk.workspace)
    with desk.database.begin() as connection:
        person = person_of(desk, connection, key)
        return render(connection, desk.workspace, catalogue, campaign, person, desk.clock.now(), given, step)


@click.command("send-test")
@click.argument("campaign")
@click.option("--as", "key", required=True, help="The customer whose mailing is shown.")
@click.option("--to", "address", required=True, help="Where it goes: your own address.")
@given_options
@click.pass_obj
def send_test(desk: Desk, campaign: str, key: str, address: str, given: Mapping[str, Any]) -> None:
    """Send CAMPAIGN's mailing, as one customer would get it, to yourself. The ledger is not touched."""
    import asyncio

    from campaigns.preview import send_once
    from core import audit
    from core.addresses import parse_address

    mail = _preview(desk, campaign, key, given).mail
    mail = mail._replace(
        recipient_email=parse_address(address).email, recipient_name="", subject=f"[test] {mail.subject}"
    )
    outcome = asyncio.run(send_once(desk.workspace, None, mail))
    with desk.database.begin() as connection:
        now, subject = desk.clock.now(), f"campaign:{campaign}"
        audit.record(connection, acting_user(), "campaign.test", subject, at=now, to=address)
    click.echo(f"{outcome.state}: {outcome.code or ''} {outcome.reply}".rstrip())
    if outcome.state != "accepted":
        raise click.exceptions.Exit(1)
