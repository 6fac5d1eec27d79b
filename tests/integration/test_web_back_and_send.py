"""Back, something else, Send: a form whose hidden name is the same is another order, and nothing is swallowed."""

from collections.abc import Callable, Iterator

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.api_calls import Api
from tests.event_pages import EventPages, event_pages

TOKEN = "A" * 24
ASKED = {"email": "ann@customers.example", "subject": "Boxes", "content": "How many?", "last_name": "Ash"}


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages, and an event of five seats."""
    with event_pages(make_workspace, database, clock, capacity=5) as running:
        yield running


def test_the_next_person_of_one_form_is_registered(event: EventPages) -> None:
    """
    Sent twice it is one registration; with another address it is one more, and a mail goes there.
    """
    for name in ("ann", "ann", "bo"):
        event.register(f"{name}@customers.example", order=TOKEN)

    assert ["confirmed", "confirmed"] == [row["state"] for row in event.pages.rows(schema.registration)]
    assert [1, 1] == [len(event.pages.mails_to(f"{name}@customers.example")) for name in ("ann", "bo")]


def test_the_next_question_of_one_form_is_kept(event: EventPages) -> None:
    """
    Sent twice it is one inquiry; with other words, or of somebody else, it is one more.
    """
    for change in ({}, {}, {"content": "How heavy?"}, {"email": "bo@customers.example"}):
        event.pages.post("/i/sales", {**ASKED, "page": TOKEN, **change})
    kept = [(row["email"], row["content"]) for row in event.pages.rows(schema.inquiry)]

    assert [
        ("ann@customers.example", "How many?"), ("ann@customers.example", "How heavy?"),
        ("bo@customers.example", "How many?"),
    ] == kept  # fmt: skip


def test_a_key_is_good_for_one_order(event: EventPages) -> None:
    """
    The same order again is known, even after its registration was withdrawn; another one is refused with 409.
    """
    api = Api(event.pages)
    person = {"email": "ann@customers.example", "answers": {"last_name": "Ash", "meal": "Vegan"}}
    order = {"event": "paper-day", "key": "o1", "attendees": [person]}
    others = [
        {**person, "email": "bo@customers.example"}, {**person, "answers": {"last_name": "Ash", "meal": "Vegetarian"}}
    ]  # fmt: skip
    first, again = api.post("registrations", order), api.post("registrations", order)
    refused = [api.post("registrations", {**order, "attendees": [other]}) for other in others]
    more = api.post("registrations", {**order, "attendees": [person, others[0]]})

    assert [(201, "new"), (200, "known")] == [
        (answer.status, answer.content["registrations"][0]["outcome"]) for answer in (first, again)
    ]
    assert {(409, "conflict")} == {(one.status, one.content["error"]["code"]) for one in (*refused, more)}
    assert 1 == len(event.pages.rows(schema.registration))


def test_everybody_of_a_repeated_order_is_told(event: EventPages) -> None:
    """
    Who was registered before by another order is in the answer to the repetition too; one key may begin like another.
    """
    api = Api(event.pages)
    ann, bo = (
        {"email": f"{name}@customers.example", "answers": {"last_name": name, "meal": "Vegan"}}
        for name in ("ann", "bo")
    )
    api.post("registrations", {"event": "paper-day", "key": "o1:a", "attendees": [ann]})
    both = {"event": "paper-day", "key": "o1", "attendees": [ann, bo]}
    answers = [api.post("registrations", both) for _ in range(2)]

    assert [201, 200] == [answer.status for answer in answers]
    assert [[1, 2]] * 2 == [[one["registration"] for one in answer.content["registrations"]] for answer in answers]


def test_a_key_is_good_for_one_inquiry(event: EventPages) -> None:
    """
    The same inquiry again is known; another one under its key is refused with 409.
    """
    api = Api(event.pages)
    asked = {"desk": "sales", "key": "k1", "email": "ann@customers.example", "subject": "Boxes", "content": "How many?"}
    changes = ({"subject": "Paper"}, {"content": "Else"}, {"email": "bo@customers.example"}, {"fields": {"a": 1}})
    answers = [api.post("inquiries", {**asked, **more}) for more in ({}, {}, *changes)]

    assert [201, 200, 409, 409, 409, 409] == [answer.status for answer in answers]
    assert 1 == len(event.pages.rows(schema.inquiry))
