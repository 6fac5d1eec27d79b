"""`clarion simulate`: the days to come, before they come."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.commands import Desk, json_option, print_json, progress, remark, write_file, writing
from core.errors import UsageError
from core.units import Unfit, parse_duration

if TYPE_CHECKING:
    from campaigns.simulation.figures import Figures
    from campaigns.simulation.rehearsal import Wish


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="How many days to rehearse.")
@click.option(
    "--from", "start", metavar="INSTANT", help="When the files are applied (default: now); at most 400 days ahead."
)
@click.option("--as", "key", metavar="KEY", help="Tell what this customer gets: an external id or an address.")
@click.option(
    "--assume", "words", metavar="WHAT=SHARE", multiple=True,
    help="What people do, such as opens=30% or bounces=1%; `none`: nothing at all. Repeatable.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Who does what is drawn from it.")
@click.option("--render", metavar="N|all", default="5", show_default=True, help="Messages rendered of each mailing.")
@click.option(
    "--look", default="6h", show_default=True, metavar="DURATION",
    help="How often sequences look at segments and rules, at most; 1m: as often as their files say.",
)  # fmt: skip
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with charts that needs no other file.",
)  # fmt: skip
@json_option
@click.pass_obj
def simulate(
    desk: Desk,
    names: tuple[str, ...],
    days: int,
    start: str | None,
    key: str | None,
    words: tuple[str, ...],
    seed: int,
    render: str,
    look: str,
    html_file: Path | None,
    as_json: bool,
) -> None:
    """Rehearse the days to come: what would go to whom, when, and what would not. Nothing is written or sent.

    The files of the workspace are applied first, as `clarion apply` would (NAME: these alone). What is under way
    already goes on. Caps, quiet hours, consent, branches and waits are the real ones, on a clock that jumps.
    """
    from campaigns.simulation.assumptions import parse_assumptions
    from campaigns.simulation.rehearsal import Wish
    from reports.rehearsal.screen import lines

    now = desk.clock.now()
    wish = Wish(_start(desk, start, now), days, names, parse_assumptions(words), seed, _samples(render))
    wish = replace(wish, looks_apart=_duration(look))
    found = _rehearsed(desk, wish if key is None else replace(wish, watched=_customer(desk, key)), now)
    if as_json:
        print_json(found.document())
    else:
        for line in lines(found):
            click.echo(line)
    if html_file is not None:
        _write_page(desk, found, html_file)


#: Whatever happens until then is gone through, too.
_FURTHEST = timedelta(days=400)


def _start(desk: Desk, text: str | None, now: datetime) -> datetime:
    from core.instants import parse_instant

    if text is None:
        return now
    try:
        start = parse_instant(text).at(desk.workspace.settings.organisation.zone)
    except Unfit as error:
        raise UsageError(f"--from: {error}") from None
    if not now <= start <= now + _FURTHEST:
        raise UsageError(f"--from: got {text!r}, expected a time from now on, at most {_FURTHEST.days} days ahead")
    return start


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except Unfit as error:
        raise UsageError(f"--look: {error}") from None


def _samples(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"--render: got {text!r}, expected a number or 'all'")
    return int(text)


def _customer(desk: Desk, key: str) -> str:
    from sqlalchemy import select

    from core.schema import customer
    from segments.people import find_customer

    with desk.database.begin() as connection:
        number = find_customer(connection, key, desk.workspace.secret)
        return str(connection.execute(select(customer.c.external_id).where(customer.c.id == number)).scalar_one())


def _rehearsed(desk: Desk, wish: "Wish", now: datetime) -> "Figures":
    from campaigns.simulation.rehearsal import rehearse

    with _days_passing(wish) as told:
        return rehearse(desk.database, desk.workspace, wish, now, told)


@contextlib.contextmanager
def _days_passing(wish: "Wish") -> Iterator[Callable[[datetime], None]]:
    """A progress bar of days; what is given to the block hears of each instant."""
    passed = 0
    with progress("rehearsing", wish.days) as step:

        def told(now: datetime) -> None:
            nonlocal passed
            days = max(0, min(wish.days, (now - wish.start).days))
            step(days - passed)
            passed = days

        yield told


def _write_page(desk: Desk, found: "Figures", html_file: Path) -> None:
    from reports.rehearsal.page import page

    with writing(html_file.parent):
        html_file.parent.mkdir(parents=True, exist_ok=True)
    write_file(html_file, page(found, desk.workspace.settings.organisation))
    remark(f"the page is in {html_file}")
