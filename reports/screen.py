"""The report as lines for a terminal, with bars made of characters."""

from collections.abc import Iterable, Iterator

from reports import words
from reports.figures import CampaignReport, Figures, Group, Money

_BAR_COLUMNS = 30
_EIGHTHS = " ▏▎▍▌▋▊▉"


def text_bar(value: float, full: float, columns: int = _BAR_COLUMNS) -> str:
    """A bar of at most `columns` characters, exact to an eighth of one; what is not nothing is visible."""
    eighths = round(columns * 8 * min(value, full) / full) if full > 0 else 0
    if value > 0:
        eighths = max(1, eighths)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def lines(report: CampaignReport) -> Iterator[str]:
    """The report, line by line."""
    figures, spent = report.figures, report.money
    runs = f"{len(report.runs)} runs" if len(report.runs) > 1 else f"run {report.runs[0].id}"
    yield f"{report.campaign} · {runs} · as of {report.as_of:%Y-%m-%d %H:%M %Z}"
    yield ""
    yield from _funnel(figures)
    yield ""
    yield f"  revenue {words.money(spent.revenue, spent.currency)} from {figures.orders:,} orders" + (
        f", cost {words.money(spent.cost, spent.currency)}, return {words.return_on(spent.return_)}"
        if spent.cost
        else ""
    )
    if report.tiers:
        yield ""
        yield from _tiers(report.tiers)
    if report.skips:
        yield ""
        yield from _counts("left out", ((words.skip_reason(each.name), each.messages) for each in report.skips))
    if report.answers:
        yield ""
        yield from _counts("servers answered", ((each.name, each.messages) for each in report.answers))
    if report.links:
        yield ""
        yield from _counts("links (people)", ((each.url, each.clicked_human) for each in report.links))


def _funnel(figures: Figures) -> Iterator[str]:
    answers = (
        ("opened", "opened_human", "opened_machine"),
        ("clicked", "clicked_human", "clicked_machine"),
        ("converted", "converted", None),
        ("unsubscribed", "unsubscribed", None),
    )
    came_back = (("delivered", figures.delivered), ("bounced, hard", figures.bounced_hard),
                 ("bounced, soft", figures.bounced_soft), ("complained", figures.complained))  # fmt: skip
    kept = (("skipped", figures.skipped), ("waiting", figures.waiting))
    lost = (("failed", figures.failed), ("unknown", figures.unknown))
    sent = (("audience", figures.audience), *_not_none(kept), ("accepted", figures.accepted), *_not_none(lost))
    for label, number in (*sent, *_not_none(came_back)):
        yield f"  {label:<13}{number:>9,}          {text_bar(number, figures.audience)}"
    for label, name, machine in answers:
        number = getattr(figures, name)
        beside = f"  and {count:,} by machines" if machine and (count := getattr(figures, machine)) else ""
        bar = text_bar(number, figures.audience)
        yield f"  {label:<13}{number:>9,} {words.percent(figures.rate(name)):>8} {bar}{beside}"


def _not_none(rows: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """The rows whose number is not 0."""
    return (row for row in rows if row[1])


def _tiers(groups: Iterable[Group]) -> Iterator[str]:
    yield f"  {'tier':<13}{'accepted':>9}{'clicked':>18}{'converted':>18}{'revenue':>16}"
    for group in groups:
        figures = group.figures
        cells = "".join(
            f"{getattr(figures, name):>9,} {words.percent(figures.rate(name)):>8}"
            for name in ("clicked_human", "converted")
        )
        yield f"  {group.name:<13}{figures.accepted:>9,}{cells}{words.money(figures.revenue, None):>16}"


def _counts(title: str, rows: Iterable[tuple[str, int]]) -> Iterator[str]:
    listed = list(rows)
    full, width = max(number for _, number in listed), max(len(name) for name, _ in listed)
    yield f"  {title}"
    for name, number in listed:
        yield f"    {name:<{width}} {number:>7,}  {text_bar(number, full, 20)}".rstrip()


def overview_row(group: Group, spent: Money) -> dict[str, object]:
    """One campaign as a row of the table of them all."""
    figures = group.figures
    shares = {
        label: words.percent(figures.rate(name))
        for label, name in (
            ("opened", "opened_human"),
            ("clicked", "clicked_human"),
            ("converted", "converted"),
        )
    }
    return {
        "campaign": group.name,
        "audience": figures.audience,
        "accepted": figures.accepted,
        **shares,
        "revenue": words.money(spent.revenue, spent.currency),
        "cost": words.money(spent.cost, spent.currency),
        "return": words.return_on(spent.return_),
    }
