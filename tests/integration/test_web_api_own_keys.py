"""What a key of an activity may change, and what cannot be kept: no caller touches what is another's."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.api_calls import KEY, Api
from tests.event_pages import SETTINGS, EventPages, event_pages

OTHER = KEY[::-1]  # of the caller `narrow`


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages, two callers that may tell of activities, and two customers."""
    settings = SETTINGS.replace("scopes: [inquiries], per_minute: 3", "scopes: [activities], per_minute: 50")
    with event_pages(make_workspace, database, clock, settings=settings) as running:
        for name in ("ann", "bo"):
            running.pages.customer(external_id=name, email=f"{name}@customers.example")
        yield running


def _told(event: EventPages, who: str, key: str, bearer: str = KEY, **more: Any) -> str:
    body = {"activities": [{"customer": {"external_id": who}, "name": "page_view", "key": key, **more}]}
    outcome: str = Api(event.pages).post("activities", body, bearer=bearer).content["activities"][0]["outcome"]
    return outcome


def test_keys_of_callers_and_of_clarion_are_apart(event: EventPages) -> None:
    """
    The same key of two programs is two activities; the key of an answer or an inquiry changes neither.
    """
    event.pages.post(event.asked(1), {"likely": "9"})
    own = event.pages.rows(schema.activity)
    outcomes = [_told(event, "ann", "1001"), _told(event, "bo", "1001", OTHER)]
    outcomes += [_told(event, "bo", row["event_key"]) for row in own]
    outcomes += [_told(event, "bo", "inquiry:1:received")]
    event.pages.post("/i/sales", {"email": "ann@customers.example", "subject": "s", "content": "c", "last_name": "A"})
    rows = event.pages.rows(schema.activity)

    assert {"new"} == set(outcomes)
    assert own == rows[: len(own)]
    assert [(1, "inquiry_received")] == [(row["customer_id"], row["name"]) for row in rows if row["source"] == "form"]


def test_key_of_another_customer_changes_nothing(event: EventPages) -> None:
    """
    It is told, the activity stays as it was, and a corrected one of the same customer counts.
    """
    outcomes = [_told(event, who, "k", value=value) for who, value in (("ann", 1), ("bo", 2), ("ann", 3))]

    assert ["new", "key_taken", "changed"] == outcomes
    assert [(1, 3)] == [(row["customer_id"], row["value"]) for row in event.pages.rows(schema.activity)]


def test_key_given_twice_in_one_call_is_a_mistake(event: EventPages) -> None:
    """
    Nobody knows which of the two is meant; the very same twice is known.
    """
    one = {"customer": {"external_id": "ann"}, "name": "page_view", "occurred_at": "2026-03-01T08:00:00Z", "key": "k"}
    api = Api(event.pages)
    refused = api.post("activities", {"activities": [one, {**one, "name": "other"}]})
    taken = api.post("activities", {"activities": [one, one]})

    assert (422, "activities.1.key") == (refused.status, refused.content["error"]["problems"][0]["at"])
    assert ["new", "known"] == [row["outcome"] for row in taken.content["activities"]]


def test_line_breaks_in_names_reach_nobody(event: EventPages) -> None:
    """
    Whoever registers with a line break in their name can be written to.
    """
    person = {"email": "cy@customers.example", "answers": {"last_name": "Birch\n", "meal": "Vegan"}}
    answer = Api(event.pages).post("registrations", {"event": "paper-day", "key": "o1", "attendees": [person]})

    assert 201 == answer.status
    assert ["Birch"] == [row["last_name"] for row in event.pages.rows(schema.customer) if row["last_name"]]
    assert ["Birch"] == [row["answers"]["last_name"] for row in event.pages.rows(schema.registration)]


def test_call_back_is_due_within_two_years(event: EventPages) -> None:
    """
    A time that is past, or far away, is named, and nothing is kept.
    """
    times = (
        "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59+00:00",
        "2026-03-01T12:00:00+00:00", "2026-03-02T12:00:00+00:00", "2028-06-01T12:00:00+00:00",
    )  # fmt: skip
    asked = {"desk": "sales", "key": "k", "email": "cy@customers.example", "subject": "Boxes"}
    answers = [Api(event.pages).post("inquiries", {**asked, "call_at": at}) for at in times]

    assert [(422, "call_at")] * len(times) == [
        (answer.status, answer.content["error"]["problems"][0]["at"]) for answer in answers
    ]
    assert [] == event.pages.rows(schema.inquiry)
