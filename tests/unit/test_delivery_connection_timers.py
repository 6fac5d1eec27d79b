"""When a connection is given up: by the clock of the event loop, which these tests read and do not wait for."""

import asyncio
from typing import cast

import pytest

from delivery.smtp import Endpoint, Timers
from delivery.smtp.connection import Connection
from delivery.smtp.faults import Trouble, TroubleKind
from delivery.smtp.session import Session
from delivery.smtp.steps import Step

TIMERS = Timers(mail=50, recipient=60, data=20, block=30, end_of_data=100, quit=5)


class Wire(asyncio.Transport):
    """A transport of which only the length of the buffer matters."""

    unwritten = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def abort(self) -> None:
        pass


class Waiting:
    """A session that waits for one answer, and hears why it does not come."""

    def __init__(self, awaited: Step) -> None:
        self.awaited: Step | None = awaited
        self.ending = None
        self.broken_by: Trouble | None = None

    def broken(self, trouble: Trouble) -> None:
        self.broken_by = trouble


def make_connection(wire: Wire, session: Waiting) -> Connection:
    """An open connection on which an answer is due."""
    connection = Connection(Endpoint("127.0.0.1", timers=TIMERS), asyncio.get_running_loop(), "127.0.0.1")
    connection.connection_made(wire)
    connection.serve(cast("Session", session))
    connection.resume_writing()
    return connection


@pytest.mark.parametrize(
    ("step", "patience"),
    [(Step.MAIL, 50), (Step.RSET, 50), (Step.RECIPIENT, 60), (Step.DATA, 20), (Step.END_OF_DATA, 100), (Step.QUIT, 5)],
)
def test_each_answer_has_its_own_time(step: Step, patience: float) -> None:
    """
    Just before its time an answer is waited for, just after it the connection is given up (S-1.21).
    """

    async def scenario() -> list[TroubleKind | None]:
        session = Waiting(step)
        connection = make_connection(Wire(), session)
        due = connection.deadline
        assert abs(due - asyncio.get_running_loop().time() - patience) < 1
        found = []
        for now in (due, due + 0.01):
            connection.check_time(now)
            found.append(session.broken_by.kind if session.broken_by else None)
        return found

    assert [None, TroubleKind.TIMEOUT] == asyncio.run(scenario())


def test_bytes_that_complete_no_reply_give_no_more_time() -> None:
    """
    A server that trickles bytes, or lines of a reply without end, is given up when the answer is due (S-1.21).
    """

    async def scenario() -> tuple[float, float]:
        connection = make_connection(Wire(), Waiting(Step.MAIL))
        due = connection.deadline
        await asyncio.sleep(0.002)
        for chunk in (b"25", b"0-still\r\n", b"250-thinking\r\n250"):
            connection.data_received(chunk)
        return due, connection.deadline

    due, after = asyncio.run(scenario())
    assert due == after


def test_block_has_its_time_from_the_last_progress() -> None:
    """
    While the buffer gets shorter nothing is given up, however long it takes; when it does not, it is (S-1.21).
    """

    async def scenario() -> list[TroubleKind | None]:
        wire, session = Wire(), Waiting(Step.END_OF_DATA)
        connection = make_connection(wire, session)
        wire.unwritten = 1_000_000
        connection.pause_writing()
        found: list[TroubleKind | None] = []
        for unwritten in (900_000, 500_000, 100_000, 100_000):
            wire.unwritten = unwritten
            connection.check_time(connection.deadline + 0.01)
            found.append(session.broken_by.kind if session.broken_by else None)
        return found

    assert [None, None, None, TroubleKind.TIMEOUT] == asyncio.run(scenario())
