"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from zoneinfo import ZoneInfo

from core.settings import Organisation
from reports import charts, sections, words
from reports.figures import CampaignReport
from reports.sections import Local


@cache
def frame() -> Template:
    """The page without its content."""
    return Template(files("reports").joinpath("report.html").read_text(encoding="utf-8"))


def page(report: CampaignReport, organisation: Organisation) -> str:
    """The whole page. Times are in the organisation's zone."""
    zone = ZoneInfo(organisation.zone)

    def local(at: datetime) -> datetime:
        return at.astimezone(zone)

    parts = (
        sections.funnel(report),
        sections.money(report),
        sections.course(report, local),
        sections.tiers(report),
        sections.links(report),
        sections.left_out(report),
        sections.answers(report),
        sections.countries(report),
        sections.runs(report, local),
        sections.denominators(report),
    )
    return frame().substitute(
        title=escape(f"{report.campaign}: campaign report"),
        organisation=escape(organisation.name),
        kind="campaign report",
        campaign=escape(report.campaign),
        about=_about(report, local),
        remarks="".join(f'<p class="remark">{escape(remark)}</p>' for remark in report.remarks),
        cards="\n".join(card(*each) for each in _cards(report)),
        sections="\n".join(part for part in parts if part),
        chart_style=charts.STYLE,
    )


def _about(report: CampaignReport, local: Local) -> str:
    first = local(min(line.starts_at for line in report.runs))
    parts = [
        f"Topic {report.topic}",
        f"goal: {words.goal(report.goal, report.goal_within)}",
        f"started {first:%-d %B %Y, %H:%M}",
        f"as of {local(report.as_of):%-d %B %Y, %H:%M %Z}",
    ]
    return escape(" · ".join(parts))


def _cards(report: CampaignReport) -> Iterator[tuple[str, str, str]]:
    figures, spent = report.figures, report.money
    yield "Audience", f"{figures.audience:,}", f"{figures.skipped:,} left out"
    accepted = figures.accepted / figures.audience if figures.audience else None
    yield "Accepted", f"{figures.accepted:,}", f"{words.percent(accepted)} of the audience"
    for label, name in (
        ("Opened", "opened_human"), ("Clicked", "clicked_human"), ("Converted", "converted"),
        ("Unsubscribed", "unsubscribed"),
    ):  # fmt: skip
        yield label, words.percent(figures.rate(name)), f"{getattr(figures, name):,} people"
    yield "Revenue", words.money(spent.revenue, spent.currency), f"{figures.orders:,} orders"
    cost = f"on a cost of {words.money(spent.cost, spent.currency)}" if spent.cost else "no cost was given"
    yield "Return", words.return_on(spent.return_), cost


def card(label: str, shown: str, note: str) -> str:
    """One figure at the head of a page."""
    return f'<div><dt>{escape(label)}</dt><dd>{escape(shown)}</dd><dd class="note">{escape(note)}</dd></div>'
