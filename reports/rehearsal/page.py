"""A rehearsal as one HTML page that needs nothing else, with charts."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.simulation.assumptions import told
from campaigns.simulation.figures import Figures, StepFigures
from core.commands import counted
from core.settings import Organisation
from reports import charts
from reports.charts import Bar
from reports.page import card, frame
from reports.rehearsal.screen import local, totals
from reports.sections import number_cell, section, table

#: Campaigns with a strip of their own in the chart of days.
_STRIPS: Final = 8
#: Recipient domains with a smaller share of all mails are not drawn.
_LARGE: Final = 0.005
#: Heads of columns that hold texts.
_TEXTS: Final = frozenset(("Step", "First", "Last", "By", "What", "Kind", "Campaign", "Customer"))


def page(figures: Figures, organisation: Organisation) -> str:
    """The whole page. Times are in the organisation's zone, but for the customer who is watched."""
    told_by = (_days, _steps, _pressure, _left_out, _dead_ends, _due, _ways, _moments, _flaws)
    parts = [part(figures) for part in told_by]
    return frame().substitute(
        title=escape(f"Rehearsal of {_period(figures)}"),
        organisation=escape(organisation.name),
        kind="rehearsal: nothing of it was sent",
        campaign=escape(_period(figures)),
        about=escape(f"Assumed: {told(figures.assumptions)} · {organisation.zone}"),
        remarks="".join(f'<p class="remark">{escape(text)}</p>' for text in _remarks(figures)),
        cards="\n".join(card(*each) for each in _cards(figures)),
        sections="\n".join(part for part in parts if part),
        chart_style=charts.STYLE,
    )


def _period(figures: Figures) -> str:
    zone = ZoneInfo(figures.zone)
    return f"{figures.start.astimezone(zone):%-d %B %Y} to {figures.until.astimezone(zone):%-d %B %Y}"


def _remarks(figures: Figures) -> Iterator[str]:
    for one in figures.refused:
        yield f"Not applied: {one.name}: {one.why.removeprefix(f'{one.name}: ')}"
    for over in figures.exceeded:
        yield f"{over.transport} has {over.wanted:,} mails on {over.day}, and may carry {over.allowed:,}"


def _cards(figures: Figures) -> Iterator[tuple[str, str, str]]:
    sums = totals(figures)
    days = len(figures.days)
    yield "Mails", f"{sums['accepted']:,}", f"on {counted(days, 'day')}"
    yield "People", f"{sums['people']:,}", "written to at least once"
    most = max(figures.pressure, default=0)
    people = figures.pressure.get(most, 0)
    yield "Most in 7 days", f"{most}", f"{counted(people, 'person', 'people')} get as many" if most else ""
    yield "Left out", f"{sums['skipped']:,}", f"{sums['held']:,} had to wait"


def _days(figures: Figures) -> str:
    if not figures.days:
        return section("Mails a day", "No mail would go.", "", wide=True)
    zone = ZoneInfo(figures.zone)
    spread = _every_day(figures.start.astimezone(zone).date(), figures.until.astimezone(zone).date())
    by_day = {day.day: day for day in figures.days}
    sums: dict[str, int] = {}
    for day in figures.days:
        for name, count in day.campaigns.items():
            sums[name] = sums.get(name, 0) + count
    names = sorted(sums, key=lambda name: -sums[name])[:_STRIPS]
    strips: list[tuple[str, charts.Tone, Sequence[int]]] = [
        ("All", "plain", [by_day[day].accepted if day in by_day else 0 for day in spread])
    ]
    strips += [
        (name, "open", [by_day[day].campaigns.get(name, 0) if day in by_day else 0 for day in spread]) for name in names
    ]
    intro = "One bar is a day; each row has its own scale."
    begins = [f"{day:%-d %b %Y}" for day in spread]
    return section("Mails a day", intro, charts.strips_of("Mails a day", strips, begins), wide=True)


def _every_day(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _steps(figures: Figures) -> str:
    most = max((step.messages for step in figures.steps), default=1)
    rows = [_step(step, figures.zone, most) for step in figures.steps]
    heads = ("Campaign", "Step", "Messages", "Accepted", "", "Had to wait", "Left out", "First", "Last")
    return section("Campaigns and their steps", "", table(heads, rows, texts=_TEXTS), wide=True) if rows else ""


def _step(step: StepFigures, zone: str, most: int) -> list[str]:
    return [
        f'<th scope="row">{escape(step.campaign)}</th>',
        f"<td>{escape(step.step)}</td>",
        number_cell(step.messages),
        number_cell(step.accepted),
        f'<td class="bar">{charts.small_bar(step.accepted, most, tone="open")}</td>',
        number_cell(sum(step.held.values())),
        number_cell(sum(step.skipped.values())),
        f"<td>{_at(step.first_at, zone)}</td>",
        f"<td>{_at(step.last_at, zone)}</td>",
    ]


def _at(at: datetime | None, zone: str) -> str:
    return local(at, zone) if at else "–"


def _pressure(figures: Figures) -> str:
    if not figures.pressure:
        return ""
    bars = [
        Bar(counted(most, "mail"), people, f"{people:,} people", tone="click" if most > 2 else "plain")
        for most, people in sorted(figures.pressure.items())
    ]
    drawn = charts.bars("Most mails in any seven days", bars)
    rows = [
        [f'<th scope="row">{escape(one.customer)}</th>', number_cell(one.most), number_cell(one.total),
         f"<td>{local(one.at, figures.zone)}</td>"]
        for one in figures.pressed[:10] if one.most > 1
    ]  # fmt: skip
    top = table(("Customer", "In 7 days", "In all", "By"), rows, texts=_TEXTS) if rows else ""
    intro = "What people got in the week before counts as well."
    return section("How much anybody gets in seven days", intro, drawn + top)


def _left_out(figures: Figures) -> str:
    sums: dict[str, int] = {}
    for step in figures.steps:
        for reason, count in step.skipped.items():
            sums[reason] = sums.get(reason, 0) + count
        for reason, count in step.held.items():
            sums[f"waits: {reason}"] = sums.get(f"waits: {reason}", 0) + count
    bars = [
        Bar(reason, count, f"{count:,}", tone="open" if reason.startswith("waits") else "leave")
        for reason, count in sorted(sums.items(), key=lambda item: -item[1])
    ]
    return section("Who gets nothing, and who waits", "", charts.bars("Reasons", bars)) if bars else ""


def _dead_ends(figures: Figures) -> str:
    items = "".join(
        f"<li><b>{escape(end.name + (f' / {end.step}' if end.step else ''))}</b>: {escape(end.says)}</li>"
        for end in figures.dead_ends
    )
    intro = "What nobody reaches, and nobody leaves."
    return section("Comes to nothing", intro, f'<ul class="notes">{items}</ul>') if items else ""


def _due(figures: Figures) -> str:
    rows = [
        [f'<th scope="row">{escape(one.what.replace("_", " "))}</th>', f"<td>{escape(one.kind)}</td>",
         number_cell(one.count), *(f"<td>{_at(at, figures.zone)}</td>" for at in (one.first_at, one.last_at))]
        for one in figures.due
    ]  # fmt: skip
    heads = ("What", "Kind", "Number", "First", "Last")
    return (
        section("For people", "What falls to employees, comes in, or is told.", table(heads, rows, texts=_TEXTS))
        if rows
        else ""
    )


def _ways(figures: Figures) -> str:
    rows = [
        [f'<th scope="row">{escape(way.transport)}</th>', number_cell(way.mails),
         f"{number_cell(way.busiest_day_count)}<td>{way.busiest_day}</td>",
         f"{number_cell(way.busiest_hour_count)}<td>{local(way.busiest_hour, figures.zone)}</td>"]
        for way in figures.transports
    ]  # fmt: skip
    if not rows:
        return ""
    total = sum(way.mails for way in figures.transports)
    large = [(domain, count) for domain, count in figures.domains.items() if count > _LARGE * total]
    bars = [Bar(domain, count, f"{count:,}") for domain, count in large[:8]]
    heads = ("Transport", "Mails", "Busiest day", "", "Busiest hour", "")
    body = table(heads, rows, texts=_TEXTS) + (charts.bars("Recipient domains", bars) if bars else "")
    return section("By which way", "", body, wide=True)


def _moments(figures: Figures) -> str:
    if figures.watched is None:
        return ""
    rows = [
        [f'<td class="time">{one.local:%a %-d %b %Y, %H:%M}</td>', f"<td>{escape(one.what)}</td>",
         f"<td>{escape(one.campaign)}</td>", f"<td>{escape(one.step)}</td>", f"<td>{escape(one.says)}</td>"]
        for one in figures.moments
    ]  # fmt: skip
    heads = ("Their own time", "What", "Campaign", "Step", "")
    body = table(heads, rows, texts=_TEXTS) if rows else '<p class="empty">Nothing.</p>'
    return section(f"What {figures.watched} gets", "", body, wide=True)


def _flaws(figures: Figures) -> str:
    items = "".join(
        f"<li><b>{escape(flaw.campaign)}</b>: {escape(flaw.what)} ({escape(flaw.customer)}; "
        f"{counted(figures.flaw_counts[f'{flaw.campaign}/{flaw.step}'], 'message')})</li>"
        for flaw in figures.flaws
    )
    intro = f"Of {figures.rendered:,} that were tried."
    return section("Cannot be rendered", intro, f'<ul class="notes">{items}</ul>', wide=True) if items else ""
