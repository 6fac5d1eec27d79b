"""One's own registration, and the door: links show, buttons act, and each link is good for its one purpose."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.duty import Circumstances
from campaigns.events import offering
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.event_pages import EventPages, event_pages
from tracking.timed_tokens import TimedPurpose


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """An event of two seats that three people registered for: 1 and 2 have a seat, 3 waits."""
    with event_pages(make_workspace, database, clock) as running:
        for name in ("ann", "bo", "cy"):
            running.register(f"{name}@customers.example", last_name=name.title())
        yield running


def _states(event: EventPages) -> list[str]:
    return [row["state"] for row in event.pages.rows(schema.registration)]


def test_looking_changes_nothing(event: EventPages) -> None:
    """
    The page says how things stand, to its owner alone and with the address masked.
    """
    before = event.pages.counts()
    first, third = event.pages.get(event.registration(1)), event.pages.get(event.registration(3))
    event.pages.get(event.door)

    assert "You have a seat" in first.text
    assert "ann@customers.example" not in first.text
    assert "on the waiting list, in place 1" in third.text
    assert before == event.pages.counts()


def test_cancelling_frees_the_seat_once(event: EventPages) -> None:
    """
    POST cancels, a mail says so and the seat is offered on; pressed again, the answer is the same (S-7.12).
    """
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: event.pages.post(event.registration(1), {"action": "cancel"}), range(8)))

    assert {200} == {answer.status for answer in answers}
    assert all("Your registration is cancelled" in answer.text for answer in answers)
    assert ["cancelled", "confirmed", "offered"] == _states(event)
    confirmed, withdrawn = event.pages.mails_to("ann@customers.example")
    assert ("skipped", "planned") == (confirmed["state"], withdrawn["state"])  # the first had not left yet
    assert "cancelled" == withdrawn["given"]["seat"]
    assert "Register again" in event.pages.get(event.registration(1)).text


@pytest.mark.parametrize(
    ("action", "state", "told"),
    [("accept", "confirmed", "The seat is yours"), ("decline", "cancelled", "goes to somebody else")],
)
def test_offered_seat_is_taken_or_declined_once(event: EventPages, action: str, state: str, told: str) -> None:
    """
    The offer's buttons do what they say, however often they are pressed (S-7.11).
    """
    event.pages.post(event.registration(1), {"action": "cancel"})
    shown = event.pages.get(event.registration(3))
    answers = [event.pages.post(event.registration(3), {"action": action}) for _ in range(2)]

    assert "A seat is kept for you until Tuesday, 3 March 2026, 13:00 (Europe/Berlin, UTC+1)" in shown.text
    assert all(told in answer.text for answer in answers)
    assert state == _states(event)[2]


def test_offer_that_ended_is_not_taken(event: EventPages) -> None:
    """
    Who comes too late is told so, and has nothing.
    """
    event.pages.post(event.registration(1), {"action": "cancel"})
    event.pages.clock.instant += timedelta(days=1)
    with event.pages.database.begin() as connection:
        offering.end_offers(connection, Circumstances.of(event.pages.workspace), event.pages.clock.now())
    answer = event.pages.post(event.registration(3), {"action": "accept"})

    assert "not taken in time" in answer.text
    assert "cancelled" == _states(event)[2]


def test_calendar_entry_is_downloaded_with_a_seat(event: EventPages) -> None:
    """
    It is a file of the attendee's own entry, called as the event is; who waits has none.
    """
    entry = event.pages.get(f"{event.registration(1)}/calendar.ics")
    (row, *_) = event.pages.rows(schema.registration)

    assert (200, "text/calendar; charset=utf-8") == (entry.status, entry.headers["content-type"])
    assert 'attachment; filename="paper-day.ics"' == entry.headers["content-disposition"]
    assert f"UID:{row['uid']}" in entry.text.replace("\r\n ", "")
    assert 404 == event.pages.get(f"{event.registration(3)}/calendar.ics").status


def test_links_are_good_for_their_purpose_and_time_alone(event: EventPages) -> None:
    """
    A registration's token opens no door, a door's no other event, and both end.
    """
    pages = event.pages
    foreign = pages.token(TimedPurpose.REGISTRATION, 1)
    door = pages.tokens.sign(TimedPurpose.CHECK_IN, 0, pages.clock.now(), about="paper-day")
    asked = [
        pages.get(f"/door/paper-day/{foreign}"), pages.get(event.door.replace("paper-day", "ink-day")),
        pages.get(f"/r/{pages.token(TimedPurpose.CHECK_IN, 0)}"),
        pages.get(f"/r/{pages.token(TimedPurpose.REGISTRATION, 1, seconds=-1)}"), pages.get(f"/door/paper-day/{door}"),
        pages.post(f"/door/paper-day/{foreign}", {"registration": "1", "action": "here"}),
    ]  # fmt: skip

    assert [404, 404, 404, 410, 410, 404] == [answer.status for answer in asked]


def test_door_checks_in_with_one_press(event: EventPages) -> None:
    """
    Who has a seat is found by a part of name, company or address, and is here once the button is pressed.
    """
    everybody = event.pages.get(event.door)
    found = event.pages.get(f"{event.door}?q=b%25&lang=en")
    bo = event.pages.get(f"{event.door}?q=BO@cust")
    done = event.pages.post(event.door, {"registration": "2", "action": "here", "q": "bo"})
    again = event.pages.post(event.door, {"registration": "2", "action": "here", "q": "bo"})

    assert ("0 of 2 are here" in everybody.text, "cy@customers.example" in everybody.text) == (True, False)
    assert "Nobody who has a seat" in found.text
    assert 200 == event.pages.get(f"{event.door}?q=%00").status
    assert ("bo@customers.example" in bo.text, "ann@customers.example" in bo.text) == (True, False)
    assert ("Bo is here." in done.text, "1 of 2 are here" in done.text) == (True, True)
    assert "That was so already" in again.text
    assert [False, True, False] == [bool(row["checked_in_at"]) for row in event.pages.rows(schema.registration)]


def test_door_says_that_the_day_is_still_to_come(event: EventPages) -> None:
    """
    Whoever comes before is let in all the same; on the day, from its midnight where it takes place, nothing is said.
    """
    said = "The event begins on Monday, 16 March 2026, 10:00 (Europe/Berlin, UTC+1)"
    looked = event.pages.get(event.door)
    early = event.pages.post(event.door, {"registration": "1", "action": "here"})
    day = datetime(2026, 3, 15, 23, tzinfo=UTC)
    event.pages.clock.instant = day - timedelta(minutes=1)
    before = event.pages.get(event.door)
    event.pages.clock.instant = day
    then = event.pages.post(event.door, {"registration": "2", "action": "here"})

    assert [True, True, True, False] == [said in page.text for page in (looked, early, before, then)]
    assert ("Ann is here." in early.text, "2 of 2 are here" in then.text) == (True, True)


def test_door_takes_a_mistake_back_and_lets_nobody_else_in(event: EventPages) -> None:
    """
    Undoing works; who has no seat, and what is no number, is refused.
    """
    event.pages.post(event.door, {"registration": "1", "action": "here"})
    undone = event.pages.post(event.door, {"registration": "1", "action": "undo"})
    waiting = event.pages.post(event.door, {"registration": "3", "action": "here"})
    wrong = ({}, {"registration": "1"}, *({"registration": one, "action": "here"} for one in ("x", "9" * 30)))
    senseless = [event.pages.post(event.door, fields).status for fields in wrong]

    assert "Ann is not here." in undone.text
    assert "no seat any more" in waiting.text
    assert [400] * 4 == senseless
    assert not any(row["checked_in_at"] for row in event.pages.rows(schema.registration))
