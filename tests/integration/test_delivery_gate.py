"""The hand-over contract: what is durable before a final dot leaves, and what is reported."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from delivery.smtp import Endpoint, OutcomeState, Outgoing, SmtpPool, Timers, TransportFault
from tests.smtp_server import (
    LOCK_STEP,
    PIPELINING,
    After,
    Conversation,
    Gate,
    Script,
    ScriptedServer,
    deliver,
    make_outgoing,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ACCEPTED = OutcomeState.ACCEPTED

both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
both_ways = pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])


@both_loops
@both_ways
def test_no_dot_leaves_before_its_hand_over(run: Run, ehlo: bytes) -> None:
    """
    While a call of hand_over is under way, no final dot of its window reaches the server.
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=ehlo) as server:
            return await deliver(server, 60, gate=Gate(server=server), connections=6), server

    gate, server = run(scenario())

    assert dict.fromkeys(range(1, 61), ACCEPTED) == gate.states
    assert list(range(1, 61)) == sorted(gate.handed_over)
    assert 60 == server.dots == len(server.received)


@both_loops
@both_ways
def test_refused_id_never_gets_a_dot(run: Run, ehlo: bytes) -> None:
    """
    Ids that hand_over does not return are dropped without a dot or a report; the others are not affected.
    """
    refused = {3, 4, 17, 30}

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=ehlo) as server:
            return await deliver(server, 30, gate=Gate(refused, server=server), connections=3), server

    gate, server = run(scenario())

    assert dict.fromkeys(set(range(1, 31)) - refused, ACCEPTED) == gate.states
    assert 26 == server.dots == len(server.received)
    assert not {f"RCPT TO:<c{number}@customers.example>" for number in refused} & {
        recipient for taken in server.received for recipient in taken.recipients
    }


@both_ways
def test_everything_refused_ends_the_delivery(ehlo: bytes) -> None:
    """
    A gate that lets nobody pass ends in order, with not a single dot written.
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=ehlo) as server:
            return await deliver(server, 12, gate=Gate(range(1, 13)), connections=2), server

    gate, server = asyncio.run(scenario())

    assert ({}, 0) == (gate.states, server.dots)


@both_loops
def test_answers_come_before_the_next_window_of_their_connection(run: Run) -> None:
    """
    A connection's answer is reported no later than the hand-over of its next message: at most one is ever open.
    """

    async def scenario() -> Gate:
        async with ScriptedServer() as server:
            return await deliver(server, 40, gate=Gate(server=server), connections=4)

    gate = run(scenario())

    open_ids: set[int] = set()
    for answered, window in gate.calls:
        open_ids -= {message_id for message_id, _ in answered}
        open_ids |= set(window)
        assert len(open_ids) <= 4
    assert not open_ids


def test_windows_fill_while_a_call_is_under_way() -> None:
    """
    Connections that become ready during a call share the next one: fewer calls than messages, none too large.
    """

    async def scenario() -> Gate:
        async with ScriptedServer() as server:
            return await deliver(server, 100, gate=Gate(server=server), connections=5)

    gate = asyncio.run(scenario())

    sizes = [len(window) for _, window in gate.calls]
    assert max(sizes) <= 5
    assert len(sizes) < 80


def test_slow_connection_does_not_hold_up_the_others() -> None:
    """
    While one connection waits for its answer, the other delivers everything else, and that is reported.
    """

    class Opener(Gate):
        def __init__(self, event: asyncio.Event) -> None:
            super().__init__()
            self.event = event

        async def decide(self, ids: list[int]) -> None:
            if len(self.outcomes) >= 18:
                self.event.set()

    async def scenario() -> Gate:
        event = asyncio.Event()
        async with ScriptedServer({"end": [After(event, b"250 2.0.0 at last")]}) as server:
            return await deliver(server, 20, gate=Opener(event), connections=2, timers=Timers(quit=0.2))

    assert dict.fromkeys(range(1, 21), ACCEPTED) == asyncio.run(scenario()).states


@both_ways
def test_connection_lost_at_the_gate_leaves_no_doubt(ehlo: bytes) -> None:
    """
    When the server hangs up while the hand-over is recorded, the message is deferred: its dot was never written.
    """

    class Cutter(Gate):
        def __init__(self, server: ScriptedServer) -> None:
            super().__init__()
            self.server = server

        async def decide(self, ids: list[int]) -> None:
            if 1 in ids:
                await self.server.hang_up()
            await super().decide(ids)
            for _ in range(20):
                await asyncio.sleep(0)

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=ehlo) as server:
            return await deliver(server, 2, gate=Cutter(server)), server

    gate, server = asyncio.run(scenario())

    assert {1: OutcomeState.DEFERRED, 2: ACCEPTED} == gate.states
    assert 1 == server.dots


@pytest.mark.parametrize("failing_call", [0, 1, 5])
def test_failed_hand_over_stops_every_dot(failing_call: int) -> None:
    """
    When hand_over raises, the delivery ends with its error and nothing of that window was sent.
    """

    class Broken(Gate):
        async def decide(self, ids: list[int]) -> None:
            if len(self.calls) > failing_call:
                raise ConnectionResetError("the database is gone")

    async def scenario() -> tuple[Gate, int]:
        async with ScriptedServer() as server:
            gate = Broken()
            with pytest.raises(ConnectionResetError):
                await deliver(server, 50, gate=gate, connections=3)
            return gate, server.dots

    gate, dots = asyncio.run(scenario())

    assert dots <= len(gate.let_through)


def test_cancelled_delivery_sends_nothing_more() -> None:
    """
    Cancelled while a hand-over is under way, the delivery leaves no dot behind and every connection closed.
    """

    class Endless(Gate):
        async def decide(self, ids: list[int]) -> None:
            if len(self.calls) == 3:
                delivery.cancel()
                await asyncio.Event().wait()

    async def scenario() -> tuple[Gate, int]:
        nonlocal delivery
        async with ScriptedServer() as server:
            gate = Endless()
            delivery = asyncio.ensure_future(deliver(server, 50, gate=gate, connections=2))
            with pytest.raises(asyncio.CancelledError):
                await delivery
            return gate, server.dots

    delivery: asyncio.Future[Gate]
    gate, dots = asyncio.run(scenario())

    assert 3 == len(gate.calls)
    assert dots <= len(gate.let_through)


def test_messages_are_taken_only_a_few_ahead() -> None:
    """
    The source is consumed as connections need messages, so that rendering keeps pace with sending.
    """
    taken = 0

    def messages() -> Iterator[Outgoing]:
        nonlocal taken
        for number in range(1, 101):
            taken += 1
            yield make_outgoing(number)

    class Watcher(Gate):
        async def decide(self, ids: list[int]) -> None:
            await super().decide(ids)
            ahead.append(taken - len(self.handed_over))

    ahead: list[int] = []

    async def scenario() -> None:
        async with ScriptedServer() as server:
            await deliver(server, messages(), gate=Watcher(), connections=4)

    asyncio.run(scenario())

    assert max(ahead) <= 2 * 4


@pytest.mark.parametrize(("octets", "expected"), [(7_000, 4), (5 << 20, 1)])
def test_fewer_big_messages_are_taken_before_a_connection_is_there(octets: int, expected: int) -> None:
    """
    Before the server has greeted anybody there is one message for each of four connections, or one of 5 MB.
    """
    content = b"Subject: Offers\r\n\r\n" + b"x" * octets + b"\r\n"
    taken = 0
    found: list[int] = []

    def messages() -> Iterator[Outgoing]:
        nonlocal taken
        for number in range(1, 101):
            taken += 1
            yield make_outgoing(number, content=content)

    def closed(_: Conversation) -> bytes:
        found.append(taken)
        return b"554 5.3.2 no service here"

    async def scenario() -> None:
        async with ScriptedServer({"greeting": closed}) as server:
            await deliver(server, messages(), connections=4)

    with pytest.raises(TransportFault):
        asyncio.run(scenario())

    assert expected == found[0]


def test_empty_delivery_needs_no_server() -> None:
    """
    Without messages no connection is opened and hand_over is not called.
    """

    async def scenario() -> tuple[Gate, int]:
        async with ScriptedServer() as server:
            return await deliver(server, 0), len(server.conversations)

    gate, connection_count = asyncio.run(scenario())

    assert ([], 0) == (gate.calls, connection_count)


def test_one_delivery_at_a_time() -> None:
    """
    A pool that is delivering refuses a second delivery.
    """

    class Nested(Gate):
        async def decide(self, ids: list[int]) -> None:
            with pytest.raises(RuntimeError, match="one batch at a time"):
                await pool.deliver([make_outgoing(99)], Gate())

    async def scenario() -> Gate:
        nonlocal pool
        async with ScriptedServer() as server:
            pool = SmtpPool(Endpoint("127.0.0.1", server.port, connections=1))
            gate = Nested()
            await pool.deliver([make_outgoing(1)], gate)
            await pool.close()
        return gate

    pool: SmtpPool
    assert {1: ACCEPTED} == asyncio.run(scenario()).states


@both_ways
def test_weather_of_every_kind_loses_and_doubles_nobody(ehlo: bytes) -> None:
    """
    With refusals, losses and silence mixed in, each message is reported once, and accepted means taken exactly once.
    """
    weather = [None, b"450 4.2.1 later", None, b"550 5.1.1 no", None, b"421 4.7.0 closing", None, None]

    def storm(stage: str) -> Callable[[Conversation], Any]:
        count = iter(range(10**6))
        return lambda talk: weather[(next(count) * 5 + len(stage)) % len(weather)]

    script: Script = {stage: storm(stage) for stage in ("mail", "recipient", "data", "end")}

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(script, ehlo=ehlo) as server:
            return await deliver(server, 300, gate=Gate({7, 70}, server=server), connections=5), server

    gate, server = asyncio.run(scenario())

    taken = [recipient for message in server.received for recipient in message.recipients]
    accepted = [f"RCPT TO:<c{number}@customers.example>" for number, state in gate.states.items() if state is ACCEPTED]
    missing = set(range(1, 301)) - set(gate.states)
    assert sorted(taken) == sorted(accepted)
    assert missing <= {7, 70}
