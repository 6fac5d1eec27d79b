"""The report's page, charts and screen, from figures made by hand."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from core.settings import Organisation
from reports import charts, words
from reports.figures import CampaignReport, Count, Figures, Group, Link, Moment, Money, RunLine, Timeline
from reports.page import page
from reports.screen import lines, text_bar

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ORGANISATION = Organisation(name="Paper & Co", postal_address="1 Mill Lane, Papertown", zone="Europe/Berlin")
FIGURES = Figures(
    audience=1000,
    skipped=100,
    accepted=900,
    written_to=900,
    opened_human=400,
    opened_machine=300,
    clicked_human=90,
    clicked_machine=60,
    unsubscribed=4,
    converted=30,
    orders=31,
    revenue=Decimal("12345.67"),
)


def make_report(**values: Any) -> CampaignReport:
    """A report of one finished run of `spring-paper`."""
    moments = tuple(
        Moment(START + timedelta(hours=hour), 900 if hour == 0 else 0, 40 - hour, 9, 1, 3) for hour in range(10)
    )
    defaults: dict[str, Any] = {
        "campaign": "spring-paper",
        "topic": "promotions",
        "goal": "purchase",
        "goal_within": timedelta(days=14),
        "as_of": START + timedelta(days=1),
        "runs": (RunLine(1, "1", "finished", START, START + timedelta(hours=1), 1000),),
        "figures": FIGURES,
        "money": Money(Decimal("500.00"), Decimal("12345.67"), "EUR", ("EUR",)),
        "tiers": (Group("top", Figures(audience=10, written_to=9)), Group("small", FIGURES)),
        "skips": (Count("not_consented", 70), Count("suppressed:unsubscribed", 30)),
        "links": (
            Link("https://paper.example/a?b=1&c=2", 60, 50),
            Link("https://paper.example/unused", 0, 0),
        ),
        "timeline": Timeline(timedelta(hours=1), moments),
    }
    return CampaignReport(**(defaults | values))


class Outline(HTMLParser):
    """What a page is made of: its tags are balanced, and these are its ids, references and words."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.ids += [str(given["id"])] if "id" in given else []
        self.references += [str(given[name]) for name in ("src", "href", "srcset", "action") if name in given]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_page_needs_no_other_file() -> None:
    """
    Nothing is fetched when the page is opened: no script, no reference, no import, no address in the styles.
    """
    text = page(make_report(), ORGANISATION)
    outline = Outline(text)

    assert ([], []) == (outline.references, outline.open)
    assert outline.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert re.search(r"@import|url\(", text) is None


def test_page_tells_the_headline_figures() -> None:
    """
    Audience, rates, revenue and return stand on the page, with what was left out and why.
    """
    told = Outline(page(make_report(), ORGANISATION)).words

    for shown in ("1,000", "900", "44.4 %", "10.0 %", "12,346 EUR", "+23.7 ×", "Has unsubscribed", "Top"):
        assert shown in told


def test_page_gives_times_in_the_organisation_zone() -> None:
    """
    Nine in the morning UTC is ten o'clock in Berlin.
    """
    assert "2 March 2026, 10:00" in page(make_report(), ORGANISATION)


def test_page_escapes_what_people_named() -> None:
    """
    A campaign, a country and a link cannot smuggle markup into the page.
    """
    evil = "<script>alert(1)</script>"
    report = make_report(
        campaign=evil,
        countries=(Group(evil, FIGURES), Group("DE", FIGURES)),
        links=(Link(f"https://x.example/{evil}", 1, 0),),
        skips=(Count(f"suppressed:{evil}", 1),),
        answers=(Count(evil, 1),),
    )

    assert "<script" not in page(report, ORGANISATION)


def test_page_has_different_ids_for_its_charts() -> None:
    """
    Titles and descriptions are found by id, so no two charts share one.
    """
    ids = Outline(page(make_report(answers=(Count("550 5.1.1", 3),)), ORGANISATION)).ids

    assert len(ids) == len(set(ids)) > 0


@pytest.mark.parametrize("figures", [Figures(), Figures(audience=3, skipped=3)])
def test_page_of_a_campaign_that_reached_nobody(figures: Figures) -> None:
    """
    A campaign without any accepted message has a page and a screen too, with dashes for shares of nothing.
    """
    report = make_report(
        figures=figures,
        tiers=(),
        links=(),
        skips=(),
        timeline=None,
        money=Money(Decimal(0), Decimal(0), None),
    )

    assert "–" in page(report, ORGANISATION)
    assert "–" in "\n".join(lines(report))


def test_charts_stay_within_their_width() -> None:
    """
    No bar is wider than the chart, and none that counts something vanishes.
    """
    drawn = charts.bars(
        "Test", [charts.Bar("a", 5, "5", machine=9), charts.Bar("b", 1e-9, "0"), charts.Bar("c", 0, "0")]
    )
    widths = [
        float(width) for width in re.findall(r'class="(?:plain|machine)" x="0.00%" y="[\d.]+" width="([\d.]+)%"', drawn)
    ]

    assert [55.56, 100.0, 0.4] == widths


def test_timeline_shows_each_strip_with_its_sum() -> None:
    """
    Every kind of happening has a strip with its total; a kind that never happened has none.
    """
    course = Timeline(
        timedelta(hours=1), (Moment(START, 9, 4, 0, 0, 2), Moment(START + timedelta(hours=1), 0, 1, 0, 0, 0))
    )
    drawn = charts.timeline("Course", course, lambda at: at)

    assert ["9", "5", "2"] == re.findall(r'text-anchor="end">([\d,]+)</text>', drawn)
    assert "Unsubscribed" not in drawn


@pytest.mark.parametrize(
    ("value", "expected"), [(0, ""), (1, "▏"), (8, "█"), (10, "█▎"), (80, "█" * 10), (999, "█" * 10)]
)
def test_text_bar_is_exact_to_an_eighth(value: float, expected: str) -> None:
    """
    A bar of characters grows by eighths and never leaves its width.
    """
    assert expected == text_bar(value, 80, 10)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (None, "–"),
        (Decimal("3.24"), "+3.2 ×"),
        (Decimal(-1), "−1.0 ×"),
        (Decimal("1234.5"), "+1,234 ×"),
        (Decimal(0), "0.0 ×"),
    ],
)
def test_return_is_told_as_a_multiple(ratio: Decimal | None, expected: str) -> None:
    """
    A return has its sign, and a dash when nothing was spent.
    """
    assert expected == words.return_on(ratio)


def test_remarks_warn_about_what_is_missing() -> None:
    """
    Lost answers, waiting messages and missing delivery reports are said, not hidden.
    """
    report = make_report(figures=Figures(audience=10, accepted=5, unknown=2, waiting=3, written_to=5))

    assert ["Delivered", "2", "3"] == [remark.split()[0] for remark in report.remarks]
