"""The gate: where messages wait until their hand-over is durable, and answers until they are reported.

It is a group commit. While one call of `hand_over` is under way, further connections become ready and answers
come in; the next call takes all of them.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from delivery.smtp.messages import HandOver, Outcome
from delivery.smtp.session import Session

#: Messages that are made in a row while a call is under way: singly, each took a fifth longer.
_AT_ONCE: Final = 8


class Gate:
    """Sessions whose server waits for content, and answers that are not durable yet."""

    def __init__(self, hand_over: HandOver) -> None:
        self.waiting: list[Session] = []
        self.call_s = 0.0  # how long a call takes, smoothed
        self._hand_over = hand_over
        self._in_call: list[Session] = []
        self._answered: list[tuple[int, Outcome]] = []
        self._was_quiet = False  # no answer was reported since the last tick

    @property
    def has_answers(self) -> bool:
        """Whether an answer waits to be reported."""
        return bool(self._answered)

    def record(self, message_id: int, outcome: Outcome) -> None:
        """The answer goes with the next call."""
        self._answered.append((message_id, outcome))

    def withdraw(self, session: Session) -> bool:
        """The session does not wait any more. False: its hand-over is being recorded at this moment."""
        if session in self._in_call:
            return False
        if session in self.waiting:
            self.waiting.remove(session)
        return True

    def tick(self) -> bool:
        """Whether answers have waited for a window since the last tick: then they should go without one."""
        is_due = self.has_answers and self._was_quiet
        self._was_quiet = True
        return is_due

    async def open(self, meanwhile: Callable[[], bool]) -> tuple[list[Session], frozenset[int]]:
        """The hand-over of everything that waits is durable: the window, and the ids in it that may go.

        `meanwhile` is called again and again until that is done, or it returns False.
        """
        window, self.waiting = self.waiting, []
        self._in_call = window
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            ids = [session.current.id for session in window if session.current is not None]
            going = await self._call(ids, meanwhile)
        finally:
            self._in_call = []
        self.call_s += (clock() - started - self.call_s) / 2
        return window, going

    async def report(self) -> None:
        """The answers are durable; there is no window to go with them."""
        await self._hand_over(self._taken_answers(), ())

    async def _call(self, ids: list[int], meanwhile: Callable[[], bool]) -> frozenset[int]:
        call = asyncio.ensure_future(self._hand_over(self._taken_answers(), ids))
        try:
            await asyncio.sleep(0)
            while not call.done() and all(meanwhile() for _ in range(_AT_ONCE)):
                await asyncio.sleep(0)
            return frozenset(await call)
        finally:
            call.cancel()

    def _taken_answers(self) -> list[tuple[int, Outcome]]:
        self._was_quiet = False
        answered, self._answered = self._answered, []
        return answered
