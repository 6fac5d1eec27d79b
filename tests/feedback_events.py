"""Feedback for tests: give what matters, the rest is filled in."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from campaigns.feedback import Receiver
from core.database import Database
from core.settings import Sender
from core.staff_settings import Employee
from tests.factories import SECRET
from tracking.feedback import Feedback, FeedbackKind, MatchedBy

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)
STAFF = {
    "anna": Employee(name="Anna Berg", email="anna@paper.example"),
    "ben": Employee(name="Ben Cole", email="ben@paper.example"),
}
SENDERS = {"offers": Sender(name="Paper & Co", email="offers@paper.example", reply_to="help@paper.example")}


def make_feedback(kind: str, message_id: int | None = None, **values: Any) -> Feedback:
    """An event that mail reports, proven by the return path when it names a message."""
    defaults: dict[str, Any] = {
        "kind": FeedbackKind(kind),
        "source": "mail",
        "event_key": f"mail:{next(_numbers):06}",  # events are taken in the order of their keys
        "occurred_at": NOON,
        "message_id": message_id,
        "matched_by": MatchedBy.VERP if message_id is not None else None,
    }
    return Feedback(**defaults | values)


def make_receiver(**values: Any) -> Receiver:
    """The receiver of the tests' workspace."""
    return Receiver(**{"secret": SECRET, "staff": STAFF, "senders": SENDERS} | values)


def days(count: float) -> timedelta:
    """So many days."""
    return timedelta(days=count)


class OneTransaction:
    """A database whose every `begin` is the same transaction, to be taken back at the end of a test."""

    def __init__(self, connection: Connection, url: str) -> None:
        self._connection, self.url = connection, url

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """The one connection."""
        yield self._connection


@contextmanager
def taken_back(database: Database) -> Iterator[OneTransaction]:
    """The database; what is written to it is gone when the block ends."""
    with database.begin() as connection:
        yield OneTransaction(connection, database.url)
        connection.rollback()
