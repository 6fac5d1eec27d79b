"""The figures of a survey: heads asked and answered, and of each question who said what, by tier.

Each customer counts once: of several answers to a question the last one does.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from campaigns.surveys.definition import DETRACTOR_TO, HIGHEST, PROMOTER_FROM, Question
from campaigns.surveys.files import Survey
from core.form_settings import label_in
from reports.surveys.intervals import Interval, net_promoter, of_net_promoter, of_share

#: Customers who were never ranked.
UNRANKED: Final = "unranked"


@dataclass(frozen=True, slots=True)
class Rating:
    """Numbers from 0 to 10: how many gave each, by the number."""

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        return sum(rating * number for rating, number in enumerate(self.counts)) / self.total if self.total else None

    @property
    def promoters(self) -> int:
        return sum(self.counts[PROMOTER_FROM:])

    @property
    def detractors(self) -> int:
        return sum(self.counts[: DETRACTOR_TO + 1])

    @property
    def score(self) -> float | None:
        """The Net Promoter Score."""
        return net_promoter(self.promoters, self.detractors, self.total)

    @property
    def interval(self) -> Interval | None:
        """Of the score."""
        return of_net_promoter(self.promoters, self.detractors, self.total)


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that could be chosen, and how many did."""

    name: str
    shown: str
    count: int
    interval: Interval | None  # of the share of those who answered the question


@dataclass(frozen=True, slots=True)
class Answers:
    """What one question came to. `rating` of a rating, `choices` of choices; of words only how many there are."""

    question: str
    ask: str
    kind: str
    answered: int
    rating: Rating | None = None
    choices: tuple[Choice, ...] = ()
    by_tier: Mapping[str, Rating] | None = None  # of a rating
    latest: tuple[str, ...] = ()  # of words: the last that were written, without their writers


@dataclass(frozen=True, slots=True)
class SurveyReport:
    """A survey as it stands. `asked` counts customers to whom a mail with its link was accepted, or who answered."""

    survey: str
    title: str
    as_of: datetime
    asked: int
    answered: int
    first_at: datetime | None
    last_at: datetime | None
    questions: tuple[Answers, ...]

    @property
    def share(self) -> float | None:
        """Of those asked, who answered: 0–1."""
        return self.answered / self.asked if self.asked else None

    @property
    def interval(self) -> Interval | None:
        """Of the share."""
        return of_share(self.answered, self.asked)

    @property
    def rating(self) -> Rating | None:
        """That of the first question with one."""
        return next((answers.rating for answers in self.questions if answers.rating is not None), None)


_HEADS: Final = text("""
    WITH asking AS MATERIALIZED (
        SELECT id FROM campaign_version WHERE definition ->> 'templates' ~ :link
    ), asked AS (
        SELECT m.customer_id FROM message AS m JOIN run AS r ON r.id = m.run_id
        WHERE r.version_id IN (SELECT id FROM asking) AND m.accepted_at IS NOT NULL AND m.customer_id IS NOT NULL
        UNION SELECT customer_id FROM survey_answer WHERE survey = :survey
    )
    SELECT (SELECT count(*) FROM asked) AS asked, count(DISTINCT customer_id) AS answered,
           min(answered_at) AS first_at, max(answered_at) AS last_at
    FROM survey_answer WHERE survey = :survey
""")
_SAID: Final = text("""
    SELECT a.question, a.rating, a.choices, coalesce(t.pyramid, :unranked) AS tier
    FROM (
        SELECT DISTINCT ON (question, customer_id) question, customer_id, rating, choices, words FROM survey_answer
        WHERE survey = :survey ORDER BY question, customer_id, answered_at DESC, id DESC
    ) AS a LEFT JOIN customer_metrics AS t ON t.customer_id = a.customer_id
""")
_LATEST: Final = text("""
    SELECT words FROM survey_answer WHERE survey = :survey AND question = :question AND words IS NOT NULL
    ORDER BY answered_at DESC, id DESC LIMIT :most
""")
_MOST_WORDS: Final = 20


def survey_report(connection: Connection, survey: Survey, *, language: str, now: datetime) -> SurveyReport:
    """What the survey came to, its texts in `language`."""
    heads = connection.execute(_HEADS, {"survey": survey.name, "link": link_pattern(survey.name)}).one()
    rows = connection.execute(_SAID, {"survey": survey.name, "unranked": UNRANKED}).all()
    said = {name: [row for row in rows if row.question == name] for name in survey.definition.questions}
    answers = tuple(
        _answers(name, question, said[name], language, _latest(connection, survey.name, name, question))
        for name, question in survey.definition.questions.items()
    )
    title = label_in(survey.definition.title, language, survey.name)
    return SurveyReport(
        survey.name, title, now, heads.asked, heads.answered, heads.first_at, heads.last_at, answers
    )  # fmt: skip


def link_pattern(survey: str) -> str:
    """A regular expression of PostgreSQL for the link to the survey in a template."""
    return rf"survey[^}}]*[^\w-]{re.escape(survey)}(?![\w-])"


def _latest(connection: Connection, survey: str, name: str, question: Question) -> tuple[str, ...]:
    if question.kind != "text":
        return ()
    given = {"survey": survey, "question": name, "most": _MOST_WORDS}
    return tuple(connection.execute(_LATEST, given).scalars())


def _answers(name: str, question: Question, rows: Sequence[Any], language: str, latest: tuple[str, ...]) -> Answers:
    ask = label_in(question.ask, language, name)
    if question.kind == "rating":
        tiers = sorted({row.tier for row in rows})
        by_tier = {tier: _rating(row.rating for row in rows if row.tier == tier) for tier in tiers}
        return Answers(name, ask, question.kind, len(rows), _rating(row.rating for row in rows), (), by_tier)
    counted = Counter(choice for row in rows for choice in row.choices or ())
    choices = tuple(
        Choice(key, label_in(words, language, key), counted[key], of_share(counted[key], len(rows)))
        for key, words in question.choices.items()
    )
    return Answers(name, ask, question.kind, len(rows), None, choices, latest=latest)


def _rating(ratings: Iterable[int | None]) -> Rating:
    counted = Counter(ratings)
    return Rating(tuple(counted[rating] for rating in range(HIGHEST + 1)))


def summary(report: SurveyReport) -> dict[str, Any]:
    """The report in one line; the score is that of the first question with a rating."""
    score = report.rating.score if report.rating is not None else None
    heads = {name: getattr(report, name) for name in ("survey", "title", "asked", "answered", "share")}
    return heads | {"net_promoter_score": score, "last_at": report.last_at}


def document(report: SurveyReport) -> dict[str, Any]:
    """The report as JSON values."""
    head = {name: getattr(report, name) for name in ("survey", "title", "as_of", "asked", "answered", "share")}
    head |= {"share_interval": _ends(report.interval), "first_at": report.first_at, "last_at": report.last_at}
    return head | {"questions": [_question(each) for each in report.questions]}


def _question(answers: Answers) -> dict[str, Any]:
    found: dict[str, Any] = {
        "question": answers.question, "ask": answers.ask, "kind": answers.kind, "answered": answers.answered
    }  # fmt: skip
    if answers.rating is not None:
        found |= _rated(answers.rating)
        found["by_tier"] = {tier: _rated(rating) for tier, rating in (answers.by_tier or {}).items()}
    if answers.choices:
        found["choices"] = [asdict(each) | {"interval": _ends(each.interval)} for each in answers.choices]
    return found | ({"latest": list(answers.latest)} if answers.latest else {})


def _rated(rating: Rating) -> dict[str, Any]:
    return {
        "total": rating.total, "counts": list(rating.counts), "mean": rating.mean, "promoters": rating.promoters,
        "detractors": rating.detractors, "net_promoter_score": rating.score, "interval": _ends(rating.interval),
    }  # fmt: skip


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.lowest, interval.highest]
