"""`clarion demo`: the whole job on sample data, by the very commands a marketer types."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.commands import Desk, progress, remark

if TYPE_CHECKING:
    from demo.audience import Answers
    from demo.stage import Stage

CAMPAIGN = "paper-restock"
_SEED = 20_260


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-workspace"), show_default=True,
    help="Where the sample workspace is made.",
)  # fmt: skip
@click.option("--customers", type=click.IntRange(50, 200_000), default=5_000, show_default=True, help="How many firms.")
@click.option("--fresh/--keep", default=True, help="Begin anew (default), or go on with what the last demo left.")
@click.pass_obj
def demo(desk: Desk, folder: Path, customers: int, fresh: bool) -> None:
    """Run the whole job on sample data, on this machine.

    An office-supplies dealer with two years of purchases: import, tiers, segment, plan, a real sending to a
    mail server on this machine, an audience that answers, and the report. Nothing leaves the machine.
    """
    from demo.stage import Stage

    begin = time.monotonic()
    stage = Stage(folder.resolve())
    with _stopped_by_signals():
        if fresh:
            stage.clear()
        stage.build()
        try:
            _play(stage, desk, customers)
        finally:
            _heading("Everything is stopped again; the data is kept")
            stage.typed("down")
    _farewell(stage, time.monotonic() - begin)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C does, so that what was started is stopped."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _play(stage: "Stage", desk: Desk, customers: int) -> None:
    from demo.generate import GONE
    from demo.inbox import read_index

    _know_the_customers(stage, desk, customers)
    _look_before_sending(stage)
    mails_before = sum(1 for _ in read_index(stage.inbox))
    with stage.mail_server(stage.smtp_port, GONE):
        _heading("Send: two Celery workers, a scheduler and the web pages, all on this machine")
        stage.typed("up", "--detach")
        stage.typed("send", CAMPAIGN, "--yes", "--wait")
        answers = _people_answer(stage, mails_before)
        _what_came_back(stage, answers)


def _know_the_customers(stage: "Stage", desk: Desk, customers: int) -> None:
    from demo.generate import FILES, generate

    _heading("Know the customers: two years of an office-supplies dealer")
    if not stage.tables.exists():
        counts = generate(stage.tables, today=desk.clock.now().date(), customers=customers, seed=_SEED)
        remark("  made " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
    for name in FILES:
        stage.typed("import", name, f"data/{name}.csv")
    stage.typed("tiers")


def _look_before_sending(stage: "Stage") -> None:
    _heading("Look before sending: who is meant, is every file right, what would happen to how many")
    stage.typed("segment", "count", "paper-is-running-out")
    stage.typed("validate")
    stage.typed("plan", CAMPAIGN, accept=(0, 2))


def _people_answer(stage: "Stage", mails_before: int) -> "Answers":
    from demo.audience import Answers, agenda_of, answer
    from demo.orders import write_orders

    _heading("The audience answers, through the links of the mails it got")
    agenda = agenda_of(stage.inbox, _SEED, after=mails_before)
    if not agenda:
        remark("  nothing new was sent, so there is nothing to answer")
        return Answers()
    with progress("  visits", len(agenda)) as told:
        answers = answer(agenda, told=told)
    orders = stage.tables / "orders-that-followed.csv"
    bought = write_orders(orders, answers.orders, stage.tables / "customers.csv", seed=_SEED)
    remark(_told(answers, bought))
    if bought:
        stage.typed("import", "purchases", "data/orders-that-followed.csv")
    return answers


def _told(answers: "Answers", bought: int) -> str:
    done = answers.counts
    left = done["one_click"] + done["page"] + done["everything"]
    parts = [
        f"  {done['opened']:,} opened, {done['clicked']:,} clicks, {bought:,} ordered, {left:,} unsubscribed",
        f"({done['one_click']:,} with one click in the mail program); machines followed {done['scanned']:,} links",
        f"and loaded {done['prefetched']:,} pictures",
    ]
    return " ".join(parts) + (f"; {done['failed']:,} requests were not answered" if done["failed"] else "")


def _what_came_back(stage: "Stage", answers: "Answers") -> None:
    _heading("What came back")
    stage.typed("report", CAMPAIGN, "--html", f"reports/{CAMPAIGN}.html")
    stage.typed("status", CAMPAIGN, "--check")
    _heading("Why: one command explains any decision")
    left = next((answers.did[what] for what in ("one_click", "page", "everything") if what in answers.did), None)
    for recipient in filter(None, (answers.did.get("bought"), left)):
        stage.typed("why", recipient, CAMPAIGN)


def _heading(text: str) -> None:
    click.echo()
    click.secho(f"── {text} ──", fg="cyan", bold=True)


def _farewell(stage: "Stage", seconds: float) -> None:
    report = stage.root / "reports" / f"{CAMPAIGN}.html"
    click.echo()
    click.secho(f"The report with its charts: {report}", fg="green", bold=True)
    click.echo(f"Done in {seconds:.0f} s. To look further:")
    for line in (
        f"cd {stage.root}",
        "clarion segment list",
        f"clarion preview {CAMPAIGN} --as K00001 --html mailing.html",
        'clarion segment count \'clicked("paper-restock") and not converted("paper-restock")\'',
        "clarion up        # and open the unsubscribe page of any mail in inbox/",
    ):
        click.echo(f"  {line}")
