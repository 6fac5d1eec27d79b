"""The parts of the report's page, each one `<section>`; one that has nothing to say is an empty text."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape

from reports import charts, words
from reports.charts import Bar
from reports.figures import CampaignReport, Group

Local = Callable[[datetime], datetime]
_GROUP_HEADS = ("Audience", "Written to", "Opened", "Clicked", "", "Converted", "Revenue")


def section(title: str, intro: str, body: str, *, wide: bool = False) -> str:
    """One part of a page; `body` is HTML already."""
    lead = f"<p>{escape(intro)}</p>" if intro else ""
    return f"<section{' class=wide' if wide else ''}><h2>{escape(title)}</h2>{lead}{body}</section>"


def funnel(report: CampaignReport) -> str:
    figures = report.figures

    def answered(label: str, name: str, machine: int, tone: charts.Tone) -> Bar:
        number = getattr(figures, name)
        return Bar(label, number, f"{number:,}", words.percent(figures.rate(name)), machine=machine, tone=tone)

    share = figures.accepted / figures.audience if figures.audience else None
    rows = [
        Bar("Audience", figures.audience, f"{figures.audience:,}"),
        Bar("Accepted", figures.accepted, f"{figures.accepted:,}", f"{words.percent(share)} of the audience"),
        answered("Opened", "opened_human", figures.opened_machine, "open"),
        answered("Clicked", "clicked_human", figures.clicked_machine, "click"),
        answered("Converted", "converted", 0, "buy"),
    ]
    key = (
        '<p class="key"><span><i style="background:var(--machine)"></i>by machines: '
        f"{figures.opened_machine:,} opened, {figures.clicked_machine:,} clicked</span></p>"
    )
    return section(
        "From audience to answer", "Shares below Accepted are of the people written to.",
        charts.bars("From audience to answer", rows) + key,
    )  # fmt: skip


def money(report: CampaignReport) -> str:
    figures, spent = report.figures, report.money

    def each(amount: Decimal, number: int) -> str:
        return words.money(amount / number, spent.currency) if number else "–"

    facts = [
        ("Revenue, net of returns", words.money(spent.revenue, spent.currency)),
        ("Cost of the campaign", words.money(spent.cost, spent.currency)),
        ("Left over", words.money(spent.profit, spent.currency)),
        ("Return on each unit spent", words.return_on(spent.return_)),
        ("Revenue per message accepted", each(spent.revenue, figures.accepted)),
        ("Revenue per order", each(spent.revenue, figures.orders)),
        ("Cost per customer who converted", each(spent.cost, figures.converted)),
    ]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(shown)}</dd>" for name, shown in facts)
    return section(
        "Cost and return",
        f"What followed a message of the campaign; the goal: {words.goal(report.goal, report.goal_within)}.",
        f'<dl class="facts">{rows}</dl>',
    )


def course(report: CampaignReport, local: Local) -> str:
    course = report.timeline
    if course is None:
        return ""
    title = "In the course of time"
    bar = charts.step_name(course.step)
    intro = f"Each person once, when they first did it. One bar is {bar}; each row has its own scale."
    return section(title, intro, charts.timeline(title, course, local), wide=True)


def tiers(report: CampaignReport) -> str:
    if not report.tiers:
        return ""
    rows = (_group_cells(group, words.TIERS.get(group.name, group.name), report) for group in report.tiers)
    return section(
        "By tier",
        "The levels the customers are in now. The bar shows the share of people written to who clicked.",
        table(("Tier", *_GROUP_HEADS), rows),
        wide=True,
    )  # fmt: skip


def countries(report: CampaignReport) -> str:
    if len(report.countries) < 2:
        return ""
    rows = (_group_cells(group, group.name, report) for group in report.countries)
    return section("By country", "", table(("Country", *_GROUP_HEADS), rows), wide=True)


def _group_cells(group: Group, label: str, report: CampaignReport) -> list[str]:
    figures = group.figures
    shares = [
        number_cell(getattr(figures, name), figures.rate(name))
        for name in ("opened_human", "clicked_human", "converted")
    ]
    machine = figures.rate("clicked_machine") or 0
    bar = charts.small_bar(figures.rate("clicked_human") or 0, _highest_click_rate(report), machine)
    return [
        f'<th scope="row">{escape(label)}</th>',
        number_cell(figures.audience),
        number_cell(figures.written_to),
        *shares[:2],
        f'<td class="bar">{bar}</td>',
        shares[2],
        f'<td class="number">{escape(words.money(figures.revenue, None))}</td>',
    ]


def _highest_click_rate(report: CampaignReport) -> float:
    groups = (*report.tiers, *report.countries)
    names = ("clicked_human", "clicked_machine")
    return max((group.figures.rate(name) or 0 for group in groups for name in names), default=1)


def number_cell(number: int, share: float | None = None) -> str:
    """A cell with a number, and beside it a share of something."""
    beside = f' <span class="share">{words.percent(share)}</span>' if share is not None else ""
    return f'<td class="number">{number:,}{beside}</td>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Collection[str] = ()) -> str:
    """A table whose first column names the row; the cells are HTML already. `texts`: heads of columns of texts."""
    first, *others = heads
    head = f'<th scope="col">{escape(first)}</th>' + "".join(
        f'<th scope="col"{"" if name in texts else " class=number"}>{escape(name)}</th>' if name else "<td></td>"
        for name in others
    )
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def links(report: CampaignReport) -> str:
    if not report.links:
        return ""
    full = max(max(link.clicked_human, link.clicked_machine) for link in report.links)
    rows = (
        [
            f'<td class="url">{escape(link.url)}</td>',
            number_cell(link.clicked_human),
            number_cell(link.clicked_machine),
            f'<td class="bar">{charts.small_bar(link.clicked_human, full, link.clicked_machine)}</td>',
        ]
        for link in report.links
    )
    intro = "People who followed each link; those for whom a security scanner did so are counted apart, in grey."
    return section("Links", intro, table(("Target", "People", "Machines", ""), rows), wide=True)


def left_out(report: CampaignReport) -> str:
    figures = report.figures
    title, intro = "Who was left out, and why", f"{figures.skipped:,} of an audience of {figures.audience:,}."
    if not report.skips:
        return section(title, "", '<p class="empty">Nobody: everyone in the audience was written to.</p>')
    rows = [
        Bar(words.skip_reason(each.name), each.messages, f"{each.messages:,}", code=each.name, tone="leave")
        for each in report.skips
    ]
    return section(title, intro, charts.bars(title, rows), wide=not report.answers)


def answers(report: CampaignReport) -> str:
    if not report.answers:
        return ""
    rows = [Bar(each.name, each.messages, f"{each.messages:,}", tone="leave") for each in report.answers]
    figures = report.figures
    bounces = f"{figures.bounced_hard:,} hard and {figures.bounced_soft:,} soft bounces"
    intro = f"{bounces}, {figures.failed:,} refused for good when they were handed over."
    return section("What servers answered", intro, charts.bars("What servers answered", rows))


def runs(report: CampaignReport, local: Local) -> str:
    if len(report.runs) < 2:
        return ""
    rows = (
        [
            f'<th scope="row">{line.id}</th>', f'<td class="number">{escape(line.occurrence)}</td>',
            f'<td class="number">{local(line.starts_at):%Y-%m-%d %H:%M}</td>',
            f'<td class="number">{escape(line.state)}</td>', number_cell(line.audience),
        ]
        for line in report.runs
    )  # fmt: skip
    return section("Runs", "", table(("Run", "Occurrence", "Started", "State", "Audience"), rows), wide=True)


def denominators(report: CampaignReport) -> str:
    notes = (
        ("Audience", "everyone the campaign chose, those left out included: one row of the ledger each."),
        ("Accepted", "messages a mail server took over. Delivered: only what was reported to have arrived."),
        ("Shares", f"are of the {report.figures.written_to:,} people written to, each counted once."),
        ("Opened, clicked", "by people. What scanners and privacy proxies fetched is kept apart, in grey."),
        ("Converted", "reached the goal after the message was accepted and within its window. "
                      "Without a control group this says what followed, not what the campaign caused."),
        ("Revenue", "of those orders, less what was returned. Return is revenue less cost, divided by cost."),
    )  # fmt: skip
    listed = "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in notes)
    return section("How to read these figures", "", f'<ul class="notes">{listed}</ul>', wide=True)
