"""A survey's report as one HTML page that needs nothing else, with charts."""

from collections.abc import Iterator
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from core.settings import Organisation
from reports import charts
from reports.charts import Bar, Tone
from reports.page import card, frame
from reports.sections import number_cell, section, table
from reports.surveys.figures import Answers, Rating, SurveyReport
from reports.surveys.screen import score, shares
from reports.words import percent

_LONGEST: Final = 32


def page(report: SurveyReport, organisation: Organisation) -> str:
    """The whole page. Times are in the organisation's zone."""
    at = report.as_of.astimezone(ZoneInfo(organisation.zone))
    return frame().substitute(
        title=escape(f"{report.survey}: survey"),
        organisation=escape(organisation.name),
        kind="survey",
        campaign=escape(report.title),
        about=escape(f"{report.survey} · as of {at:%-d %B %Y, %H:%M %Z}"),
        remarks="",
        cards="\n".join(card(*each) for each in _cards(report)),
        sections="\n".join(_section(answers) for answers in report.questions),
        chart_style=charts.STYLE,
    )


def _cards(report: SurveyReport) -> Iterator[tuple[str, str, str]]:
    yield "Asked", f"{report.asked:,}", "customers"
    yield "Answered", f"{report.answered:,}", f"{percent(report.share)}{shares(report.interval)}"
    rated = report.rating
    if rated is not None and rated.score is not None and rated.interval is not None:
        ends = f"95 % interval {rated.interval.lowest:+.0f} to {rated.interval.highest:+.0f}"
        yield "Net Promoter Score", f"{rated.score:+.0f}", ends
        yield "Mean", f"{rated.mean:.1f}", f"of {rated.total:,} ratings"


def _section(answers: Answers) -> str:
    words = f"{answers.answered:,} answered"
    if answers.rating is not None:
        return section(answers.ask, f"{words}: {score(answers.rating)}", _rated(answers, answers.rating), wide=True)
    if answers.choices:
        return section(answers.ask, words, _chosen(answers), wide=True)
    quotes = "".join(f"<blockquote>{escape(said)}</blockquote>" for said in answers.latest)
    listed = f"{words}; the latest are shown" if len(answers.latest) < answers.answered else words
    return section(answers.ask, listed, quotes, wide=True)


def _rated(answers: Answers, rating: Rating) -> str:
    rows = [
        Bar(str(number), count, f"{count:,}", percent(count / rating.total) if rating.total else "", tone=_tone(number))
        for number, count in enumerate(rating.counts)
    ]
    chart = charts.bars(f"Ratings: {answers.ask}", rows)
    tiers = answers.by_tier or {}
    if len(tiers) < 2:
        return chart
    cells = [(_name(tier), number_cell(rated.total), *_scored(rated)) for tier, rated in tiers.items()]
    return chart + table(("Tier", "Answers", "Mean", "NPS", "95 % interval"), cells)


def _tone(rating: int) -> Tone:
    """Promoters, passives, detractors."""
    return "buy" if rating >= 9 else "plain" if rating >= 7 else "leave"


def _scored(rating: Rating) -> tuple[str, str, str]:
    if rating.mean is None or rating.score is None or rating.interval is None:
        return _cell("–"), _cell("–"), _cell("–")
    ends = f"{rating.interval.lowest:+.0f} to {rating.interval.highest:+.0f}"
    return _cell(f"{rating.mean:.1f}"), _cell(f"{rating.score:+.0f}"), _cell(ends)


def _name(shown: str) -> str:
    return f'<th scope="row">{escape(shown)}</th>'


def _cell(shown: str) -> str:
    return f'<td class="number">{escape(shown)}</td>'


def _chosen(answers: Answers) -> str:
    total = answers.answered
    rows = [
        Bar(_short(each.shown), each.count, f"{each.count:,}", percent(each.count / total) if total else "",
            code=shares(each.interval).strip())
        for each in answers.choices
    ]  # fmt: skip
    return charts.bars(f"Choices: {answers.ask}", rows, scale=total or None)


def _short(shown: str) -> str:
    """A label that has room beside its figures on a phone."""
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1].rstrip()}…"
