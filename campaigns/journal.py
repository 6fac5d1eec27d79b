"""The hand-overs of one trip, written from its event loop without stalling it, over a connection of their own."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError

from campaigns.ledger import Claim
from campaigns.line import Line
from campaigns.window import Window, hand_over, is_held
from core.clock import Clock, up_s
from core.database import is_gone
from core.errors import ServiceError
from delivery.smtp import Outcome, OutcomeState

_log = logging.getLogger("clarion.sending")
#: How long a database that went away is waited for: a restart takes a few seconds.
PATIENCE_S: Final = 60.0
TRY_AGAIN_S: Final = 0.5
_NOT_RECORDED: Final = Outcome(OutcomeState.NOT_SENT, None, None, "the hand-over could not be recorded")
_TOO_LATE: Final = Outcome(OutcomeState.NOT_SENT, None, None, "the lease ended before anything left")
T = TypeVar("T")


@dataclass(slots=True)
class Journal:
    """Writes for one claim, on `line`. Each call runs in a thread, one at a time, and is committed when it returns.

    `tried`: attempts before this trip, by message. `contents`: the bytes of every message that is under way.
    """

    line: Line
    held: Claim
    transport: str
    clock: Clock
    tried: Mapping[int, int]
    contents: Mapping[int, bytes]
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _calls: set[asyncio.Future[Any]] = field(default_factory=set)
    _renewed_at: float = 0.0  # by `up_s`; before the claim: not yet

    async def write(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Sequence[int]:
        """The answers are durable; so is the hand-over of the returned ones of `ids`.

        A database that went away is waited for, since the answers exist nowhere else. Whether the hand-over was
        recorded is not known then: it is taken back, and none of `ids` may go. Nor may they when the hand-over took, or
        this process slept, until the lease was another worker's: that one may have sent them since.

        Raises:
            ServiceError: the database did not come back.
        """
        window = Window(ids, answered, self.contents, self.tried)
        going = await self._in_thread(lambda: self._write(window))
        if not going or await self._has_time():
            return going
        too_late = self._taken_back(going, _TOO_LATE)
        return await self._in_thread(lambda: self._write(too_late))

    async def is_held(self) -> bool:
        """The batch is still this worker's and its run is running; its lease is renewed."""
        return await self._in_thread(self._is_held)

    async def open(self) -> None:
        """A connection that was lost since the last trip is known to be."""
        await self._in_thread(self.line.look)

    async def close(self) -> None:
        """Nothing is being written any more, not even for those who no longer wait for it. Repeat: safe."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        async with self._one_at_a_time:
            running = asyncio.get_running_loop().run_in_executor(None, call)
            self._calls.add(running)
            running.add_done_callback(self._calls.discard)
            return await asyncio.shield(running)

    async def _has_time(self) -> bool:
        """Nobody else gets the batch in the next moments; a lease of which half may be over is renewed."""
        while up_s() - max(self.held.leased_at, self._renewed_at) > self.held.lease.total_seconds() / 2:
            if not await self.is_held():
                return False
        return True

    def _write(self, window: Window) -> Sequence[int]:
        try:
            return self._hand_over(window)
        except DBAPIError as error:
            if not is_gone(error):
                raise
            _log.warning("the database went away: %s", type(error.orig).__name__)
        answers = self._taken_back(window.ids, _NOT_RECORDED, window.answered)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.line.drop()
            try:
                self._hand_over(answers)
            except (DBAPIError, ServiceError) as error:
                if isinstance(error, DBAPIError) and not is_gone(error):
                    raise
                if time.monotonic() > deadline:
                    raise ServiceError("the database did not come back: answers of mail servers are lost") from None
                time.sleep(TRY_AGAIN_S)
            else:
                return []

    def _taken_back(self, ids: Sequence[int], why: Outcome, answered: Sequence[tuple[int, Outcome]] = ()) -> Window:
        never_left = [(message_id, why) for message_id in ids]
        return Window((), [*answered, *never_left], self.contents, self.tried)

    def _hand_over(self, window: Window) -> Sequence[int]:
        return hand_over(self.line.open(), self.held, window, transport=self.transport, now=self.clock.now())

    def _is_held(self) -> bool:
        began = up_s()
        try:
            found = is_held(self.line.open(), self.held)
        except (DBAPIError, ServiceError):
            self.line.drop()
            return False
        self._renewed_at = began if found else self._renewed_at
        return found
