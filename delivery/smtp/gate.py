"""The gate: where messages wait until their hand-over is durable, and answers until they are reported.

It is a group commit. While one call of `hand_over` is under way, further connections become ready and answers
come in; the next call takes all of them.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from delivery.smtp.messages import HandOver, Outcome
from delivery.smtp.session import Session

#: By which part of what is new a smoothed round trip changes.
_SHARE: Final = 1 / 8


class Gate:
    """Sessions whose server waits for content, and answers that are not durable yet."""

    def __init__(self, hand_over: HandOver) -> None:
        self.waiting: list[Session] = []
        self.call_s = 0.0  # how long a call takes, smoothed
        self._trip_s = 0.0  # from asking a server until it is ready, smoothed
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

    def reached_by(self, session: Session) -> None:
        """The session waits, since its server is ready."""
        self.waiting.append(session)
        self._trip_s += (asyncio.get_running_loop().time() - session.asked_at - self._trip_s) * _SHARE

    def far_off_count(self, sessions: Collection[Session], wait_s: float) -> int:
        """How many of them asked their server so late that they should not be here in `wait_s` seconds."""
        answered = asyncio.get_running_loop().time() - self._trip_s
        latest = max(answered, *(session.asked_at for session in self.waiting)) + wait_s
        return sum(session.asked_at > latest for session in sessions)

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

    async def open(self) -> tuple[list[Session], frozenset[int]]:
        """The hand-over of everything that waits is durable: the window, and the ids in it that may go."""
        window, self.waiting = self.waiting, []
        self._in_call = window
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            ids = [session.current.id for session in window if session.current is not None]
            going = frozenset(await self._hand_over(self._taken_answers(), ids))
        finally:
            self._in_call = []
        self.call_s += (clock() - started - self.call_s) / 2
        return window, going

    async def report(self) -> None:
        """The answers are durable; there is no window to go with them."""
        await self._hand_over(self._taken_answers(), ())

    def _taken_answers(self) -> list[tuple[int, Outcome]]:
        self._was_quiet = False
        answered, self._answered = self._answered, []
        return answered
