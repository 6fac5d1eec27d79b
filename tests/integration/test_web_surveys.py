"""Surveys by signed links, and inquiries by a form."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.event_pages import EventPages, event_pages

ASKED = {"email": "ann@customers.example", "subject": "Boxes", "content": "How many fit?", "last_name": "Ash"}


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages."""
    with event_pages(make_workspace, database, clock) as running:
        yield running


@pytest.fixture
def asked(event: EventPages) -> str:
    """The link to the survey in a mail to somebody."""
    customer = event.pages.customer(email="ann@customers.example", language="de", consents=("promotions",))
    return event.asked(customer)


def _answers(event: EventPages) -> dict[str, Any]:
    return {
        row["question"]: row["rating"] if row["rating"] is not None else row["choices"] or row["words"]
        for row in event.pages.rows(schema.survey_answer)
    }


def test_link_with_a_rating_shows_it_chosen_and_records_nothing(event: EventPages, asked: str) -> None:
    """
    Scanners follow every link: an answer counts once the button is pressed.
    """
    before = event.pages.counts()
    page = event.pages.get(f"{asked}?likely=9")

    assert 200 == page.status
    assert 'name="likely" value="9" checked' in page.text
    assert 1 == page.text.count(" checked")
    assert "Wie wahrscheinlich" in page.text
    assert '?likely=9&amp;lang=en"' in page.text  # the rating stays when the language is changed
    assert before == event.pages.counts()


def test_answer_is_recorded_and_corrected(event: EventPages, asked: str) -> None:
    """
    The last answer counts, and segments know of it; questions that are left empty keep what they had.
    """
    first = event.pages.post(asked, {"likely": "9", "channel": ["shop", "web"], "why": "Good paper"})
    again = event.pages.post(asked, {"likely": "3"})
    activities = [row["properties"] for row in event.pages.rows(schema.activity) if row["properties"].get("rating")]

    assert [200, 200] == [first.status, again.status]
    assert {"likely": 3, "channel": ["shop", "web"], "why": "Good paper"} == _answers(event)
    assert [{"survey": "nps", "question": "likely", "rating": 3}] == activities
    assert "ersetzt die frühere" in again.text


def test_senseless_answers_are_refused(event: EventPages, asked: str) -> None:
    """
    422, and nothing is recorded.
    """
    wrong = ({}, {"likely": "11"}, {"likely": "9", "channel": "moon"}, {"likely": "9", "why": "x" * 501})

    assert [422] * 4 == [event.pages.post(asked, fields).status for fields in wrong]
    assert {} == _answers(event)


def test_survey_links_end_and_are_good_for_one_survey(event: EventPages, asked: str) -> None:
    """
    An ended link says so, one of another survey or of nobody leads nowhere, and an erased reader's has ended.
    """
    pages = event.pages
    ended = event.path(event.links.survey("nps", 1, pages.clock.now()))
    other = asked.replace("/nps/", "/other/")
    gone = event.path(event.links.survey("nps", 999_999, pages.clock.now().replace(year=2030)))

    assert [410, 404, 410] == [pages.get(path).status for path in (ended, other, gone)]
    assert [410, 404, 410] == [pages.post(path, {"likely": "9"}).status for path in (ended, other, gone)]


def test_survey_ends_when_its_file_says(event: EventPages, asked: str) -> None:
    """
    Sixty days after the mail the link has ended, though its token has not.
    """
    event.pages.clock.instant += timedelta(days=59, hours=23)
    before = event.pages.get(asked).status
    event.pages.clock.instant += timedelta(hours=1)
    ended = [event.pages.get(asked).status, event.pages.post(asked, {"likely": "9"}).status]

    assert (200, [410, 410]) == (before, ended)
    assert {} == _answers(event)


def test_inquiry_becomes_a_task_with_an_owner(event: EventPages) -> None:
    """
    Sent twice it is one; a mail says that it arrived. A desk that is not there leads nowhere.
    """
    assert [404, 404] == [event.pages.get("/i/none").status, event.pages.post("/i/none", ASKED).status]
    answers = [event.pages.post("/i/sales", {**ASKED, "subject_area": "ink", "page": "p" * 20}) for _ in range(2)]
    (row,) = event.pages.rows(schema.inquiry)

    assert [200, 200] == [answer.status for answer in answers]
    assert ("sales", "anna", "Boxes", "How many fit?") == tuple(
        row[key] for key in ("desk", "owner", "subject", "content")
    )
    assert {"last_name": "Ash", "subject_area": "ink"} == row["fields"]
    assert 1 == len(event.pages.mails("received"))


def test_call_back_is_agreed_by_the_clock_of_the_desk(event: EventPages) -> None:
    """
    Day and time are those of the desk's zone; the number is needed then, and the time lies ahead.
    """
    call = {"call": "yes", "call_day": "2026-03-04", "call_time": "10:30", "phone": "+49 341 0000"}
    done = event.pages.post("/i/sales", {**ASKED, **call})
    refused = [
        event.pages.post("/i/sales", {**ASKED, **call, **change}).status
        for change in ({"phone": ""}, {"call_day": "2026-03-01"}, {"call_time": "later"}, {"call_day": "9999-99-99"})
    ]
    (row,) = event.pages.rows(schema.inquiry)

    assert (200, [422] * 4) == (done.status, refused)
    assert "2026-03-04T09:30:00+00:00" == row["call_at"].isoformat()


def test_inquiries_of_a_flooded_mailbox_count_and_are_not_acknowledged(event: EventPages) -> None:
    """
    Five mails a day at most go to a mailbox; what somebody asks is lost for none of that (S-9.10).
    """
    answers = [event.pages.post("/i/sales", {**ASKED, "page": f"{number:020}"}) for number in range(7)]
    trapped = event.pages.post("/i/sales", {**ASKED, "homepage": "x", "page": "t" * 20})

    assert 1 == len({answer.body for answer in (*answers, trapped)})
    assert 7 == len(event.pages.rows(schema.inquiry))
    assert 5 == len(event.pages.mails("received"))


def test_form_pressed_again_uses_up_no_acknowledgement(event: EventPages) -> None:
    """
    One form sent six times is one inquiry with one mail; the next form has its own.
    """
    for page in (*("p" * 20,) * 6, "q" * 20):
        event.pages.post("/i/sales", {**ASKED, "page": page})

    assert 2 == len(event.pages.rows(schema.inquiry))
    assert 2 == len(event.pages.mails("received"))
