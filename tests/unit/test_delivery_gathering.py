"""Who waits for whom at the gate, on an event loop whose clock leaps from one timer to the next."""

import asyncio
import selectors
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from delivery.smtp import Outcome, Outgoing
from delivery.smtp.denials import Denials
from delivery.smtp.dispatch import Dispatch
from delivery.smtp.faults import Trouble
from delivery.smtp.features import Features
from delivery.smtp.replies import Reply
from delivery.smtp.session import Session
from delivery.smtp.steps import Step
from tests.smtp_server import make_outgoing

TRIP_S: Final = 0.050
CALL_S: Final = 0.004
EACH: Final = 100  # messages of each connection


class Leaping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Nothing is waited for: the time passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return list(super().select(0))


class FarServer:
    """A link to a server that says yes to everything, one round trip after it was asked."""

    is_dot_held_back = is_worn_out = False
    session: Session

    def write(self, octets: bytes) -> None:
        asyncio.get_running_loop().call_later(TRIP_S, self._answer)

    def write_message(self, lines: bytes, end: bytes) -> None:
        self.write(lines + end)

    def _answer(self) -> None:
        while self.session.awaited is not None:
            self.session.reply(Reply(354 if self.session.awaited is Step.DATA else 250, (b"yes",)))

    def fail(self, trouble: Trouble) -> None:
        raise AssertionError(trouble.text)

    def close(self) -> None:
        raise AssertionError("nothing is refused")

    def message_answered(self) -> None:
        pass


class Crew:
    """Nobody comes but those who are welcomed."""

    denials = Denials()

    def open_more(self, count: int) -> None:
        pass

    def is_elsewhere_possible(self, session: Session) -> bool:
        return False

    def known_features(self) -> Features | None:
        return None

    def gone(self, session: Session) -> None:
        pass


@dataclass
class Ledger:
    """Hand-overs that take their time: how many messages each had, and when the last one was over."""

    windows: list[int] = field(default_factory=list)
    over_at: float = 0.0

    async def hand_over(self, answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
        await asyncio.sleep(CALL_S)
        self.windows.append(len(ids))
        self.over_at = asyncio.get_running_loop().time()
        return ids


async def _delivered(starts: Sequence[float], messages: Iterable[Outgoing]) -> Ledger:
    ledger, loop = Ledger(), asyncio.get_running_loop()
    dispatch = Dispatch(messages, ledger.hand_over, Crew(), ahead=len(starts))
    for start in starts:
        link = FarServer()
        link.session = Session(link, Features(pipelining=True), dispatch)
        loop.call_later(start, dispatch.welcome, link.session)
    await dispatch.run(())
    return ledger


def made(count: int, clock: Leaping, making_s: float) -> Iterator[Outgoing]:
    """Messages that are made ten together, in so many seconds."""
    for number in range(count):
        clock.now += 0.0 if number % 10 else making_s
        yield make_outgoing(number)


def delivered(starts: Sequence[float], making_s: float = 0.0) -> Ledger:
    """One connection begins at each of these times, and they deliver `EACH` messages each."""
    selector = Leaping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_delivered(starts, made(len(starts) * EACH, selector, making_s)))


@pytest.mark.parametrize("behind_s", [0.013, 0.020, 0.035])
def test_nobody_waits_for_those_who_come_much_later(behind_s: float) -> None:
    """
    Where two connections are answered long after the other two, a message costs each a round trip and a call.
    """
    ledger = delivered([0.0, 0.0, behind_s, behind_s])

    assert ledger.over_at < behind_s + TRIP_S + (EACH + 3) * (TRIP_S + CALL_S)


@pytest.mark.parametrize("behind_s", [0.001, 0.003, 0.006])
def test_those_who_come_soon_are_waited_for(behind_s: float) -> None:
    """
    Connections that are answered shortly after each other come to share each call, and nobody is slower for it.
    """
    ledger = delivered([0.0, 0.0, 0.0, behind_s])

    assert {4} == set(ledger.windows[EACH // 2 : -1])
    assert ledger.over_at < behind_s + TRIP_S + (EACH + 3) * (TRIP_S + CALL_S)


def test_messages_are_made_while_others_are_under_way() -> None:
    """
    What takes less than a round trip to make costs no time where the servers are far away.
    """
    ledger = delivered([0.0] * 5, making_s=0.03)

    assert ledger.over_at < 0.03 + TRIP_S + (EACH + 3) * (TRIP_S + CALL_S)
