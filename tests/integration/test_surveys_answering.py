"""Answers to surveys: each counted once, corrected by answering again, and usable in segments."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from campaigns import catalogue
from campaigns.remarks import remarks_on
from campaigns.surveys.answering import Recorded, record
from campaigns.surveys.definition import SurveyFile
from campaigns.surveys.files import Survey, load_surveys, survey_of
from campaigns.surveys.reading import Mistake, read
from core.database import Database
from core.errors import NotFound, UsageError
from core.schema import activity, customer, survey_answer
from core.workspace import Workspace
from segments.membership import audience
from segments.vocabulary import Vocabulary
from tests import event_files, sequence_files
from tests.factories import make_customer
from tests.survey_files import FILES, SURVEY

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CHOICES = "    choices: {price: {en: The price}, paper: {en: The paper}, service: {en: The service}}\n"
EVERYTHING: Mapping[str, Any] = {"likely": 9, "liked": ("price", "paper"), "why": "Quick\nand good"}


@pytest.fixture
def survey(make_workspace: Callable[..., Workspace]) -> Survey:
    return survey_of(make_workspace(files=FILES), "nps")


def answer(
    database: Database, survey: Survey, customer_id: int, answers: Mapping[str, Any] = EVERYTHING,
    occasion: str = "message:1", now: datetime = NOW,
) -> Recorded:  # fmt: skip
    with database.begin() as connection:
        return record(connection, survey, customer_id, answers, occasion, None, now)


def person(database: Database, **values: Any) -> int:
    with database.begin() as connection:
        return make_customer(connection, **values)


def told(database: Database) -> list[tuple[str, Any, Any]]:
    """Question, rating or choice, and value of each activity."""
    with database.begin() as connection:
        rows = connection.execute(select(activity).order_by(activity.c.event_key)).all()
    assert {"survey_answered"} >= {row.name for row in rows}
    return sorted(
        (row.properties["question"], row.properties.get("rating", row.properties.get("choice")), row.value)
        for row in rows
    )


def test_answers_are_rows_and_activities(database: Database, survey: Survey) -> None:
    """
    One row for each question; an activity for a rating, for words, and for each choice. Words stay in the row alone.
    """
    found = answer(database, survey, person(database))
    with database.begin() as connection:
        rows = connection.execute(select(survey_answer).order_by(survey_answer.c.question)).all()
        texts = str(connection.execute(select(activity.c.properties)).all())

    assert (("likely", "liked", "why"), ()) == (found.answered, found.corrected)
    assert [
        ("liked", None, ["price", "paper"], None),
        ("likely", 9, None, None),
        ("why", None, None, "Quick\nand good"),
    ] == [(row.question, row.rating, row.choices, row.words) for row in rows]
    assert [("liked", "paper", None), ("liked", "price", None), ("likely", 9, 9), ("why", None, None)] == told(database)
    assert "Quick" not in texts


def test_second_answer_corrects_the_first(database: Database, survey: Survey) -> None:
    """
    On whatever occasion, where one answer counts: the activities are those of the last one; what is left out stays.
    """
    customer_id = person(database)
    answer(database, survey, customer_id)
    later = NOW + timedelta(days=40)
    found = answer(database, survey, customer_id, {"likely": 3, "liked": ("service",)}, "message:2", later)

    assert ("likely", "liked") == found.corrected
    assert [("liked", "service", None), ("likely", 3, 3), ("why", None, None)] == told(database)


def test_answers_that_say_nothing_are_none(database: Database, survey: Survey) -> None:
    """
    A box that nobody ticked, no choices, an empty line: nothing is written, and what was said before stays. 0 is said.
    """
    customer_id = person(database)
    nothing: Mapping[str, Any] = {"likely": False, "liked": (), "why": ""}
    first = answer(database, survey, customer_id, nothing)
    before = told(database)
    answer(database, survey, customer_id, {"likely": 0, "why": "Slow"})
    second = answer(database, survey, customer_id, nothing)
    with database.begin() as connection:
        rows = connection.execute(select(survey_answer.c.rating, survey_answer.c.words).order_by(survey_answer.c.id))

        assert [(0, None), (None, "Slow")] == [tuple(row) for row in rows]
    assert [] == before
    assert [Recorded((), ()), Recorded((), ())] == [first, second]
    assert [("likely", 0, 0), ("why", None, None)] == told(database)


def test_each_occasion_counts_where_the_survey_says_so(database: Database, survey: Survey) -> None:
    """
    With `once: false` each asking has its answer, and each can be corrected by itself.
    """
    again = Survey("nps", survey.definition.model_copy(update={"once": False}))
    customer_id = person(database)
    for occasion, rating in (("message:1", 3), ("message:10", 9), ("message:1", 4)):
        answer(database, again, customer_id, {"likely": rating}, occasion)

    assert [("likely", 4, 4), ("likely", 9, 9)] == told(database)


def test_answer_sent_many_times_at_once_is_one(database: Database, survey: Survey) -> None:
    """
    Twenty presses of one button, and of two different ones: one row for each question, activities that agree.
    """
    customer_id = person(database)
    ratings = [number % 11 for number in range(20)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda rating: answer(database, survey, customer_id, {"likely": rating}), ratings))
    with database.begin() as connection:
        (rating,) = connection.execute(select(survey_answer.c.rating)).scalars().all()

    assert [("likely", rating, rating)] == told(database)


def test_answers_choose_people_in_segments(database: Database, survey: Survey) -> None:
    """
    By rating, by a range, by the latest rating, by choice; a corrected answer is the one that counts.
    """
    people = {name: person(database, external_id=name) for name in ("fan", "critic", "turned")}
    answer(database, survey, people["fan"], {"likely": 10, "liked": ("price",)})
    answer(database, survey, people["critic"], {"likely": 2, "liked": ("paper",)})
    answer(database, survey, people["turned"], {"likely": 1})
    answer(database, survey, people["turned"], {"likely": 9}, now=NOW + timedelta(days=1))
    found = {
        where: _members(database, where)
        for where in (
            'did("survey_answered", where={"survey": "nps", "rating": 9})',
            'did("survey_answered", where={"survey": "nps", "rating": {"from": 9}})',
            'did("survey_answered", where={"survey": "nps", "rating": {"to": 6}})',
            'latest("survey_answered", where={"survey": "nps", "question": "likely"}) >= 9',
            'did("survey_answered", where={"choice": ["paper", "service"]})',
            'latest("survey_answered") is missing',
        )
    }

    assert [{"turned"}, {"fan", "turned"}, {"critic"}, {"fan", "turned"}, {"critic"}, set()] == list(found.values())


def _members(database: Database, where: str) -> set[str]:
    with database.begin() as connection:
        ids = audience(where, Vocabulary({}, frozenset(), frozenset()), now=NOW + timedelta(days=2))
        return set(connection.execute(select(customer.c.external_id).where(customer.c.id.in_(ids))).scalars())


@pytest.mark.parametrize(("answers", "occasion"), [({"other": 1}, "x"), ({"likely": 1}, ""), ({"likely": 1}, "a|b")])
def test_answers_that_cannot_be_kept_are_refused(
    database: Database, survey: Survey, answers: Mapping[str, Any], occasion: str
) -> None:
    """
    Unknown questions and unfit occasions; nothing is written.
    """
    customer_id = person(database)
    with pytest.raises(UsageError):
        answer(database, survey, customer_id, answers, occasion)
    with database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(survey_answer)).scalar_one()


def test_nobody_has_no_answers(database: Database, survey: Survey) -> None:
    """
    A customer who is gone meanwhile cannot answer.
    """
    with pytest.raises(NotFound):
        answer(database, survey, 12345)


@pytest.mark.parametrize(
    ("given", "answers", "mistakes"),
    [
        ({"likely": ["0"]}, {"likely": 0}, {}),
        ({"likely": [" 10 "], "liked": ["paper", "price"]}, {"likely": 10, "liked": ("price", "paper")}, {}),
        ({"likely": ["11"]}, {}, {"likely": Mistake.NO_RATING}),
        ({"likely": ["-1"]}, {}, {"likely": Mistake.NO_RATING}),
        ({"likely": ["٩"]}, {}, {"likely": Mistake.NO_RATING}),
        ({"likely": ["1", "2"]}, {}, {"likely": Mistake.TOO_MANY}),
        ({"liked": ["gold"]}, {}, {"liked": Mistake.NO_CHOICE}),
        ({"why": ["x" * 201]}, {}, {"why": Mistake.TOO_LONG}),
        ({"why": ["a\r\nb\0"]}, {"why": "a\nb"}, {}),
        ({"why": ["  "], "other": ["1"]}, {}, {}),
    ],
)
def test_answers_of_a_form_are_read(
    survey: Survey, given: dict[str, list[str]], answers: dict[str, Any], mistakes: dict[str, Mistake]
) -> None:
    """
    What fits is an answer, what does not is a mistake with its kind; an empty field is neither.
    """
    found = read(survey.definition, given)

    assert (answers, mistakes) == (dict(found.answers), dict(found.mistakes))


def test_segment_that_asks_for_no_survey_is_remarked_on(make_workspace: Callable[..., Workspace]) -> None:
    """
    A name that no survey has is said with its line and the nearest one, however deep in the rule; other activities do
    not matter.
    """
    asking = 'did("survey_answered", where={"survey": "%s"})'
    segments = {
        "good": asking % "nps",
        "wrong": f'tier == "top" or not ({asking % "nsp"} and {asking % "nps"})',
        "latest": 'not\n  latest("survey_answered", where={"survey": ["nps", "other"], "question": "likely"}) <= 6',
        "shop": 'did("opened_case", where={"survey": "nsp"})',
    }
    files = FILES | {f"segments/{name}.yaml": f"where: |\n  {where}\n" for name, where in segments.items()}
    workspace = make_workspace(files=files)

    assert [
        "segments/latest.yaml:3: it asks for answers to 'other', and there is no such survey (known: nps)",
        "segments/wrong.yaml:2: it asks for answers to 'nsp', and there is no such survey (did you mean 'nps'?)",
    ] == sorted(remarks_on(workspace, catalogue.load(workspace)))


def test_sequence_that_asks_for_no_survey_or_event_is_remarked_on(make_workspace: Callable[..., Workspace]) -> None:
    """
    Wherever a rule of it stands, at its line.
    """
    steps = """
answer: {wait: {for: 'did("survey_answered", since="step", where={"survey": "nsp"})', timeout: 7d}}
which: {branch: [{when: 'count("event_attended", where={"event": "paper-evning"}) >= 1', go: done}, {go: call}]}
call: {task: {title: Call them, owner: owner, due: 2d}}
done: {exit: finished}
"""
    leaves = """'did("event_withdrawn", where={"event": ["paper-evening", "ink"]})'"""
    content = sequence_files.sequence(steps, exit_when=leaves)
    files = FILES | event_files.FILES | sequence_files.FILES | {"campaigns/nurture.yaml": content}
    workspace = make_workspace(files=files)

    missing = [remark for remark in remarks_on(workspace, catalogue.load(workspace)) if "there is no such" in remark]
    asks, file = "it asks for activities of", "campaigns/nurture.yaml"
    assert [
        f"{file}:5: {asks} 'ink', and there is no such event (known: paper-evening)",
        f"{file}:7: it asks for answers to 'nsp', and there is no such survey (did you mean 'nps'?)",
        f"{file}:8: {asks} 'paper-evning', and there is no such event (did you mean 'paper-evening'?)",
    ] == sorted(missing)


def test_required_question_wants_an_answer() -> None:
    """
    A question that is required and left empty is a mistake.
    """
    survey = SurveyFile.model_validate(
        {"title": "t", "questions": {"q": {"ask": "?", "kind": "rating", "required": True}}}
    )

    assert {"q": Mistake.MISSING} == read(survey, {}).mistakes


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("kind: rating", "kind: stars", 6, "rating"),
        ("    kind: rating\n", "    kind: text\n", 4, "lowest"),
        (
            "    choices: {price: {en: The price}, paper: {en: The paper}, service: {en: The service}}\n",
            "",
            9,
            "choices",
        ),
        ("  why: {ask", "  token: {ask", 13, "token"),
        ("  why: {ask", "  homepage: {ask", 13, "a question cannot be called 'homepage'"),
        ("  why: {ask", "  lang: {ask", 13, "a question cannot be called 'lang'"),
        ("max_length: 200", "max_length: 0", 13, "1"),
        ("title:", "titel:", 1, "title"),
        ('ask: {en: "Why?"}', "ask: {}", 13, "at least 1 entry"),
        ("service: {en: The service}", "service: {}", 12, "at least 1 entry"),
    ],
)
def test_mistakes_of_a_survey_are_told_by_line(
    make_workspace: Callable[..., Workspace], old: str, new: str, line: int, expected: str
) -> None:
    """
    Each with the file and line, among the problems of the whole workspace.
    """
    assert old in SURVEY
    workspace = make_workspace(files={"surveys/nps.yaml": SURVEY.replace(old, new, 1)})
    _, problems = load_surveys(workspace)
    _, of_all = catalogue.examine(workspace)

    assert any(expected in f"{problem}" for problem in problems), problems
    assert ("surveys/nps.yaml", line) in {(problem.file, problem.line) for problem in problems}
    assert set(problems) <= set(of_all)
