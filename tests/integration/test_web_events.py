"""The page of an event: anybody registers, and nobody learns who else did."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.event_pages import EVENT, PERSON, SETTINGS, EventPages, event_pages


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages, and an event of two seats."""
    with event_pages(make_workspace, database, clock) as running:
        yield running


def _seats(event: EventPages) -> list[str]:
    return [row["state"] for row in event.pages.rows(schema.registration)]


def _without_token(html: str) -> str:
    return re.sub(r'name="order" value="[^"]*"', "", html)


def test_page_tells_what_when_and_where(event: EventPages) -> None:
    """
    The time is told in the event's zone, and in the reader's by choice; nothing is changed by looking.
    """
    before = event.pages.counts()
    here = event.pages.get("/events/paper-day")
    there = event.pages.get("/events/paper-day?zone=Asia/Shanghai", **{"Accept-Language": "de"})

    assert 200 == here.status
    assert "Monday, 16 March 2026, 10:00\u2060–\u206017:00 (Europe/Berlin, UTC+1)" in here.text
    assert "Montag, 16. März 2026, 17:00\u2060–" not in there.text  # it ends on the day after
    assert "Montag, 16. März 2026, 17:00 Uhr – Dienstag, 17. März 2026, 00:00 Uhr (Asia/Shanghai, UTC+8)" in there.text
    assert "Mill Road 7" in here.text
    assert [404, 404] == [event.pages.get(f"/events/{name}").status for name in ("ink-day", "%00")]
    assert before == event.pages.counts()


def test_whoever_registers_gets_a_seat_and_a_mail(event: EventPages) -> None:
    """
    What was filled in is kept with the registration; names stay out of the customer until the mailbox has answered.
    """
    answer = event.register("ann@customers.example", first_name="Ann\r\n")
    (row,) = event.pages.rows(schema.registration)
    (customer,) = event.pages.rows(schema.customer)

    assert 200 == answer.status
    assert ("confirmed", "page", "en") == (row["state"], row["source"], row["language"])
    assert {"first_name": "Ann", "last_name": "Ash", "meal": "Vegan"} == row["answers"]
    assert (None, None) == (customer["first_name"], customer["last_name"])
    assert 1 == len(event.pages.mails_to("ann@customers.example"))


def test_answer_is_the_same_whoever_registers(event: EventPages) -> None:
    """
    New, registered, put on the list: every answer has the same bytes, and so has the page until the seats are gone.
    """
    empty = _without_token(event.pages.get("/events/paper-day").text)
    answers = [event.register("ann@customers.example")]
    page = _without_token(event.pages.get("/events/paper-day").text)
    answers += [event.register(email) for email in ("ann@customers.example", "bo@customers.example", "cy@c.example")]

    assert ["confirmed", "confirmed", "waiting"] == _seats(event)
    assert 1 == len({answer.body for answer in answers})
    assert {200} == {answer.status for answer in answers}
    assert empty == page


def test_form_sent_fifty_times_at_once_registers_once(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    One registration, one mail, fifty equal answers (S-7.10).
    """
    settings = SETTINGS.replace("answer_s: 0", "answer_s: 0, limits: {{visitor_per_hour: 60}}")
    with event_pages(make_workspace, database, clock, settings=settings) as event:
        token = re.search(r'name="order" value="([^"]+)"', event.pages.get("/events/paper-day").text)
        assert token is not None
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: event.register("ann@customers.example", order=token[1]), range(50)))

        assert [200] * 50 == [answer.status for answer in answers]
        assert 1 == len({answer.body for answer in answers})
        assert ["confirmed"] == _seats(event)
        assert 1 == len(event.pages.mails_to("ann@customers.example"))


def test_one_form_registers_several_people(event: EventPages) -> None:
    """
    A button makes room for one more and keeps what is there; an empty part is nobody.
    """
    more = event.pages.post("/events/paper-day", {**PERSON, "action": "more", "people": "1"})
    several = {"people": "3", "email.2": "bo@customers.example", "last_name.2": "Birch", "meal.2": "Vegan"}
    sent = event.register("ann@customers.example", **several)

    assert (200, 200) == (more.status, sent.status)
    assert 'name="email.2"' in more.text
    assert 'name="email.3"' not in more.text
    assert 'value="Ash"' in more.text
    assert ["confirmed", "confirmed"] == _seats(event)
    assert 1 == len({row["party"] for row in event.pages.rows(schema.registration)})


def test_what_is_missing_is_said_at_its_place(event: EventPages) -> None:
    """
    422, with a link to the field; nobody is registered.
    """
    wrong = [
        ({"email": "nobody"}, "email"), ({"last_name": ""}, "last_name"), ({"meal": "Stones"}, "meal"),
        ({"last_name": "x" * 201}, "last_name"), ({"people": "2", "email.2": "ANN@customers.example"}, "email.2"),
    ]  # fmt: skip
    full = {**PERSON, "last_name.2": "x", "meal.2": "Vegan"}
    answers = [(event.pages.post("/events/paper-day", {**full, **change}), field) for change, field in wrong]

    assert {422} == {answer.status for answer, _ in answers}
    assert all(f'<a href="#{field}">' in answer.text for answer, field in answers)
    assert [] == _seats(event)


def test_programs_and_floods_register_nobody(event: EventPages) -> None:
    """
    A program fills in the field nobody sees; a mailbox is registered ten times a day at most. Both are answered alike.
    """
    well = event.register("ann@customers.example")
    trapped = event.register("bo@customers.example", homepage="https://spam.example")
    for number in range(9):
        event.register(f"cy+{number}@customers.example")
    seats = _seats(event)
    flooded = event.register("c.y@customers.example")
    once_more = event.register("c.y+z@customers.example")

    assert {well.body} == {trapped.body, flooded.body, once_more.body}
    assert [10, 11] == [len(seats), len(_seats(event))]


def test_captcha_of_the_file_keeps_the_form(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    The page asks the service the file names; an answer it does not know registers nobody.
    """
    captcha = "{script: 'http://127.0.0.1:1/s.js', verify_url: 'http://127.0.0.1:1/v', element: c, answer: c, "
    file = EVENT.replace("CAPACITY", "2").replace(
        "  attendees: 4", f"  attendees: 4\n  captcha: {captcha}site_key: k, secret: geheim}}"
    )
    more = {"events/paper-day.yaml": file}
    with event_pages(make_workspace, database, clock, more=more) as event:
        page = event.pages.get("/events/paper-day")
        refused = event.register("ann@customers.example", c="guessed")

        assert "http://127.0.0.1:1/s.js" in page.text
        assert "script-src http://127.0.0.1:1" in page.headers["content-security-policy"]
        assert 422 == refused.status
        assert [] == _seats(event)


def test_page_says_how_the_seats_stand_without_a_number(event: EventPages) -> None:
    """
    With every seat taken the form leads to the waiting list; closed, it is not there, and refuses.
    """
    for email in ("ann@customers.example", "bo@customers.example"):
        event.register(email)
    full = event.pages.get("/events/paper-day")
    event.pages.clock.instant = event.held.starts_at
    over = event.pages.get("/events/paper-day")
    refused = event.register("cy@customers.example")

    assert "waiting list" in full.text
    assert '<form method="post"' in full.text
    assert "Registration is closed" in over.text
    assert '<form method="post"' not in over.text
    assert 409 == refused.status
    assert 2 == len(_seats(event))
