"""Registrations neither flood a mailbox nor lock anybody out of it (S-9.10)."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.event_pages import EventPages, event_pages


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """An event of many seats."""
    with event_pages(make_workspace, database, clock, capacity=50) as running:
        yield running


def _flood(event: EventPages, numbers: range) -> None:
    for number in numbers:
        event.register(f"vic+{number}@customers.example")


def _count(event: EventPages) -> int:
    return len(event.pages.rows(schema.registration))


def test_mailbox_that_never_answers_is_mailed_so_often_at_all(event: EventPages) -> None:
    """
    Ten mails, though the days pass; whoever acts on a link in one of them is mailed again.
    """
    _flood(event, range(7))
    event.pages.clock.step(timedelta(days=1, seconds=1))
    _flood(event, range(7, 14))
    flooded = (_count(event), len(event.pages.mails()))
    event.pages.clock.step(timedelta(days=1, seconds=1))
    event.pages.post(event.registration(1), {"action": "cancel"})
    _flood(event, range(14, 15))

    assert (10, 10) == flooded
    assert 11 == _count(event)


def test_pressing_again_costs_nothing(event: EventPages) -> None:
    """
    Twelve times the same form, then cancelled by the link: they register again, and get their mail.
    """
    for _ in range(12):
        event.register("ann@customers.example")
    event.pages.post(event.registration(1), {"action": "cancel"})
    event.register("ann@customers.example")

    assert ["confirmed"] == [row["state"] for row in event.pages.rows(schema.registration)]


def test_nobody_elses_tags_keep_a_customer_out(event: EventPages) -> None:
    """
    Somebody uses up what a stranger's mailbox may get; its owner, whom we know, registers all the same, and once.
    """
    event.pages.customer(email="vic@customers.example")
    _flood(event, range(11))
    kept_out = _count(event)
    answer = event.register("vic@customers.example")

    assert (10, 11) == (kept_out, _count(event))
    assert 1 == len(event.pages.mails_to("vic@customers.example"))
    assert "without a mail there is no seat" in answer.text
