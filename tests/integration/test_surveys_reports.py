"""`clarion survey`: heads, distributions, Net Promoter Score and intervals, by tier; every answer in a safe table."""

import csv
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from campaigns.surveys.answering import record
from campaigns.surveys.files import Survey, survey_of
from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.schema import customer_metrics
from core.workspace import Workspace
from reports.surveys.figures import Rating, survey_report
from reports.surveys.intervals import Interval, of_net_promoter, of_share
from tests.factories import make_customer, make_message, make_run, make_version
from tests.survey_files import FILES

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database) -> Workspace:
    return make_workspace(database=database, files=FILES)


@pytest.fixture
def answered(database: Database, workspace: Workspace) -> Survey:
    """Ten were asked by mail, of whom six answered, and one who was asked on paper: top and small ones."""
    survey = survey_of(workspace, "nps")
    ratings = [10, 9, 9, 7, 3, 0, 10]
    with database.begin() as connection:
        templates = {"ask.html": "<a href=\"{{ survey('nps') }}\">"}
        asking = make_run(connection, version_id=make_version(connection, definition={"templates": templates}))
        others = {"other.html": "{{ survey('nps-2') }} {{ unsubscribe_url }}"}
        other = make_run(connection, "x", version_id=make_version(connection, "x", definition={"templates": others}))
        for number in range(12):
            customer_id = make_customer(connection, external_id=f"K{number}")
            tier = "top" if number < 3 else "small"
            metrics = {"customer_id": customer_id, "pyramid": tier, "as_of": NOW}
            connection.execute(insert(customer_metrics).values(**metrics))
            if number < 6 or 7 <= number < 11:
                make_message(connection, asking, customer_id)
            make_message(connection, other, customer_id)
            if number < len(ratings):
                answers = {"likely": ratings[number], "liked": ("price",) if number % 2 else ("price", "paper")}
                record(connection, survey, customer_id, answers, "m", None, NOW)
                words = {"why": '=HYPERLINK("http://x.example")' if number == 0 else f"because {number}"}
                record(connection, survey, customer_id, words, "m", None, NOW + timedelta(minutes=number))
    return survey


def clarion_(workspace: Workspace, *arguments: str) -> Result:
    desk = Desk(workspace.root, SteppedClock(NOW + timedelta(days=1)))
    result = CliRunner().invoke(clarion, arguments, obj=desk)
    desk.close()
    return result


def test_survey_counts_heads_and_answers(database: Database, answered: Survey) -> None:
    """
    Who was asked by a mail with this survey's link, or has answered; distribution, mean, NPS, choices, by tier.
    """
    with database.begin() as connection:
        report = survey_report(connection, answered, language="en", now=NOW)
    likely, liked, why = report.questions

    assert (11, 7) == (report.asked, report.answered)
    assert likely.rating is not None
    assert (1, 0, 0, 1, 0, 0, 0, 1, 0, 2, 2) == likely.rating.counts
    assert (4, 2, 7) == (likely.rating.promoters, likely.rating.detractors, likely.rating.total)
    assert likely.rating.score == pytest.approx(100 * 2 / 7)
    assert likely.rating.mean == pytest.approx(48 / 7)
    assert {"small": 4, "top": 3} == {tier: each.total for tier, each in (likely.by_tier or {}).items()}
    assert [("price", 7), ("paper", 4), ("service", 0)] == [(each.name, each.count) for each in liked.choices]
    assert "because 6" == why.latest[0]


def test_last_answer_of_a_customer_counts(database: Database, answered: Survey) -> None:
    """
    Of several occasions too: heads are counted, not answers.
    """
    again = Survey("nps", answered.definition.model_copy(update={"once": False}))
    with database.begin() as connection:
        customer_id = make_customer(connection)
        for day, rating in enumerate((0, 0, 10)):
            record(connection, again, customer_id, {"likely": rating}, f"m{day}", None, NOW + timedelta(days=day))
        report = survey_report(connection, again, language="en", now=NOW)

    assert 8 == report.answered
    assert report.questions[0].rating is not None
    assert (8, 3) == (report.questions[0].rating.total, report.questions[0].rating.counts[10])


def test_survey_command_shows_and_writes(workspace: Workspace, answered: Survey, tmp_path: Path) -> None:
    """
    The screen, JSON, a page that needs nothing else, and a table that no spreadsheet runs (S-9.6).
    """
    page, table = tmp_path / "out" / "nps.html", tmp_path / "out" / "nps.csv"
    shown = clarion_(workspace, "survey", "show", "nps", "--html", str(page), "--csv", str(table))
    listed = clarion_(workspace, "survey", "list")
    document = json.loads(clarion_(workspace, "survey", "show", "nps", "--json").stdout)
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert "mean 6.9, NPS +29" in shown.stdout
    assert "63.6 %" in listed.stdout
    assert (11, 7, 7) == (document["asked"], document["answered"], document["questions"][0]["total"])
    assert 3 * 7 == len(rows)
    assert '\'=HYPERLINK("http://x.example")' in {row["words"] for row in rows}
    text = page.read_text(encoding="utf-8")
    assert "Net Promoter Score" in text
    assert "=HYPERLINK(&quot;" in text
    assert "http" not in text.replace("http://x.example", "").replace("http://www.w3.org", "")


def test_survey_without_answers_is_shown(workspace: Workspace) -> None:
    """
    Nobody was asked: no share, no score, and no division by nothing.
    """
    shown = clarion_(workspace, "survey", "show", "nps")

    assert 0 == shown.exit_code
    assert "no answers" in shown.stdout


def test_unknown_survey_names_the_near_one(workspace: Workspace) -> None:
    """
    With the name that was probably meant.
    """
    result = clarion_(workspace, "survey", "show", "nsp")

    assert 0 != result.exit_code
    assert "nps" in result.stderr


# --- intervals ------------------------------------------------------------------------------------------------------


def _binomial(count: int, total: int, share: float) -> float:
    return math.comb(total, count) * share**count * (1 - share) ** (total - count)


@pytest.mark.parametrize("total", [5, 20, 60])
def test_interval_of_a_share_covers_the_truth(total: int) -> None:
    """
    On average over all true shares in at least 95 of 100 samples, and for none in fewer than 83 (exact, by Wilson).
    """
    covered = []
    for step in range(1, 100):
        share = step / 100
        held = [count for count in range(total + 1) if _holds(of_share(count, total), share)]
        covered.append(sum(_binomial(count, total, share) for count in held))

    assert sum(covered) / len(covered) >= 0.95
    assert min(covered) >= 0.83


@pytest.mark.parametrize("total", [10, 30])
def test_interval_of_a_net_promoter_score_covers_the_truth(total: int) -> None:
    """
    On average over many true distributions in at least 95 of 100 samples (exact).
    """
    steps = [step / 10 for step in range(1, 9)]
    covered = []
    for promote, detract in product(steps, steps):
        if promote + detract >= 1:
            continue
        truth, held = 100 * (promote - detract), 0.0
        for up in range(total + 1):
            for down in range(total + 1 - up):
                if _holds(of_net_promoter(up, down, total), truth):
                    rest = total - up - down
                    ways = math.comb(total, up) * math.comb(total - up, down)
                    held += ways * promote**up * detract**down * (1 - promote - detract) ** rest
        covered.append(held)

    assert sum(covered) / len(covered) >= 0.95


def _holds(interval: Interval | None, truth: float) -> bool:
    assert interval is not None
    return interval.lowest - 1e-9 <= truth <= interval.highest + 1e-9


def test_interval_of_agreement_has_a_width() -> None:
    """
    Three who all give a 10 do not prove a score of 100.
    """
    rating = Rating((0,) * 10 + (3,))

    assert 100 == rating.score
    assert rating.interval is not None
    assert rating.interval.lowest < 60
    assert (None, None) == (of_share(0, 0), of_net_promoter(0, 0, 0))
