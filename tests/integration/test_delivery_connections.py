"""Connections: what shares a write, when they are replaced, and what a dead one costs."""

import asyncio

import pytest

from delivery.smtp import Endpoint, OutcomeState, SmtpPool
from tests.smtp_server import (
    DROP,
    LOCK_STEP,
    PIPELINING,
    Answer,
    Conversation,
    Gate,
    Script,
    ScriptedServer,
    deliver,
    make_outgoing,
)

ACCEPTED = OutcomeState.ACCEPTED


async def deliver_twice(server: ScriptedServer, between: str = "", **endpoint: object) -> list[Gate]:
    """Two batches of two messages over one pool; `between` them the server may be told to `hang_up`."""
    settings: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "connections": 1}
    pool = SmtpPool(Endpoint(**(settings | endpoint)))  # type: ignore[arg-type]
    gates = [Gate(), Gate()]
    for first, gate in zip((1, 3), gates, strict=True):
        await pool.deliver([make_outgoing(first), make_outgoing(first + 1)], gate)
        if between:
            await getattr(server, between)()
    await pool.close()
    return gates


def test_end_of_a_message_shares_a_write_with_the_next_envelope() -> None:
    """
    With PIPELINING a message costs one round trip: content, dot, and MAIL, RCPT, DATA of the next in one write.
    """

    async def scenario() -> list[bytes]:
        async with ScriptedServer() as server:
            await deliver(server, 3)
        return server.conversations[0].chunks

    hello, envelope, *messages, quit_ = asyncio.run(scenario())

    assert hello.startswith(b"EHLO ")
    assert envelope.startswith(b"MAIL FROM:<offers@paper.example>")
    assert envelope.endswith(b"\r\nDATA\r\n")
    assert [b"DATA\r\n", b"DATA\r\n", b"\r\n.\r\n"] == [chunk[-6:].lstrip(b"o") for chunk in messages[:2]] + [
        messages[2][-5:]
    ]
    assert all(b"\r\n.\r\nMAIL FROM:" in chunk for chunk in messages[:2])
    assert b"QUIT\r\n" == quit_


def test_without_pipelining_each_command_waits_for_its_answer() -> None:
    """
    A server that does not offer PIPELINING gets one command at a time (S-1.10).
    """

    async def scenario() -> list[bytes]:
        async with ScriptedServer(ehlo=LOCK_STEP) as server:
            await deliver(server, 2)
        return server.conversations[0].chunks

    verbs = [chunk[:4] for chunk in asyncio.run(scenario())]

    one = [b"MAIL", b"RCPT", b"DATA", b"Subj"]
    assert [b"EHLO", *one, *one, b"QUIT"] == verbs


def test_connection_is_replaced_after_its_messages() -> None:
    """
    After `messages_per_connection` messages QUIT shares the write of the last dot, and a new connection goes on.
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer() as server:
            return await deliver(server, 5, messages_per_connection=2), server

    gate, server = asyncio.run(scenario())

    assert dict.fromkeys(range(1, 6), ACCEPTED) == gate.states
    assert [2, 2, 1] == [talk.dots for talk in server.conversations]
    assert server.conversations[0].chunks[-1].endswith(b"\r\n.\r\nQUIT\r\n")


def test_connection_is_replaced_for_its_age() -> None:
    """
    A connection older than `longest_age` carries no further message, but every connection carries one.
    """

    async def scenario() -> ScriptedServer:
        async with ScriptedServer() as server:
            await deliver(server, 3, longest_age=-1)
        return server

    assert [1, 1, 1] == [talk.dots for talk in asyncio.run(scenario()).conversations]


def test_connections_are_kept_from_batch_to_batch() -> None:
    """
    The second batch goes over the connection of the first.
    """

    async def scenario() -> tuple[list[Gate], ScriptedServer]:
        async with ScriptedServer() as server:
            return await deliver_twice(server), server

    gates, server = asyncio.run(scenario())

    assert [{1: ACCEPTED, 2: ACCEPTED}, {3: ACCEPTED, 4: ACCEPTED}] == [gate.states for gate in gates]
    assert [4] == [talk.dots for talk in server.conversations]


def test_rested_connection_is_not_used_again() -> None:
    """
    A connection that was idle for longer than `longest_idle` gets QUIT, and a new one is opened.
    """

    async def scenario() -> ScriptedServer:
        async with ScriptedServer() as server:
            await deliver_twice(server, longest_idle=-1)
        return server

    assert [2, 2] == [talk.dots for talk in asyncio.run(scenario()).conversations]


@pytest.mark.parametrize("answer", [DROP, b"421 4.4.2 idle for too long"])
@pytest.mark.parametrize("connections", [1, 3])
def test_dead_pooled_connection_costs_no_attempt(answer: Answer, connections: int) -> None:
    """
    Connections that turn out dead at MAIL are replaced, and every message is accepted (S-1.28).
    """

    def dead_after_two(talk: Conversation) -> Answer:
        return answer if talk.dots and len(server.received) == 2 else None

    async def scenario() -> list[Gate]:
        nonlocal server
        async with ScriptedServer({"mail": dead_after_two}) as server:
            return await deliver_twice(server, connections=connections)

    server: ScriptedServer
    gates = asyncio.run(scenario())

    assert {3: ACCEPTED, 4: ACCEPTED} == gates[1].states


def test_connection_closed_between_batches_costs_no_attempt() -> None:
    """
    A server that hung up between two batches is connected to again.
    """

    async def scenario() -> tuple[list[Gate], int]:
        async with ScriptedServer() as server:
            return await deliver_twice(server, between="hang_up"), len(server.conversations)

    gates, connection_count = asyncio.run(scenario())

    assert ({3: ACCEPTED, 4: ACCEPTED}, 2) == (gates[1].states, connection_count)


def test_closing_after_good_service_costs_no_attempt() -> None:
    """
    A 421 to MAIL after messages were taken is about the connection: the message goes over another one.
    """

    async def scenario() -> Gate:
        script: Script = {"mail": [None, None, b"421 4.7.0 enough for one connection"]}
        async with ScriptedServer(script) as server:
            return await deliver(server, 5)

    assert dict.fromkeys(range(1, 6), ACCEPTED) == asyncio.run(scenario()).states


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
def test_closing_that_nobody_asked_for_costs_no_attempt(ehlo: bytes) -> None:
    """
    A 421 behind the answer to a message, read as the next command's or while the connection rests, bounces nobody
    (S-1.5).
    """
    farewell = b"250 2.0.0 taken\r\n421 4.3.2 shutting down"

    async def scenario() -> list[Gate]:
        async with ScriptedServer({"end": [farewell, None, farewell]}, ehlo=ehlo) as server:
            gates = await deliver_twice(server)
            gates.append(await deliver(server, 3))
        return gates

    gates = asyncio.run(scenario())

    assert {ACCEPTED} == {state for gate in gates for state in gate.states.values()}
    assert [2, 2, 3] == [len(gate.states) for gate in gates]


def test_server_that_allows_fewer_connections_is_obeyed() -> None:
    """
    When further connections are refused, the delivery goes on over those there are, without asking again.
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        refusals = [b"421 4.7.0 too many connections"] * 50
        async with ScriptedServer({"greeting": [None, None, *refusals]}) as server:
            return await deliver(server, 40, connections=5), server

    gate, server = asyncio.run(scenario())

    assert dict.fromkeys(range(1, 41), ACCEPTED) == gate.states
    assert 5 >= len(server.conversations)


def test_only_as_many_connections_as_messages_are_opened() -> None:
    """
    Two messages open at most two connections, whatever the endpoint allows.
    """

    async def scenario() -> int:
        async with ScriptedServer() as server:
            await deliver(server, 2, connections=10)
        return len(server.conversations)

    assert 2 >= asyncio.run(scenario())


def test_greeting_name_is_never_localhost() -> None:
    """
    Without a configured name EHLO gives the machine's full name or an address literal (S-1.44).
    """

    async def scenario() -> str:
        async with ScriptedServer() as server:
            await deliver(server, 1)
        return server.commands[0]

    name = asyncio.run(scenario()).removeprefix("EHLO ")

    assert "localhost" not in name
    assert name == "[127.0.0.1]" or "." in name


def test_closing_twice_is_safe() -> None:
    """
    A pool says goodbye once to each connection, however often it is closed; one that was never used has none.
    """

    async def scenario() -> list[str]:
        unused = SmtpPool(Endpoint("127.0.0.1", 1))
        await unused.close()
        async with ScriptedServer() as server:
            pool = SmtpPool(Endpoint("127.0.0.1", server.port))
            gate = Gate()
            await pool.deliver([make_outgoing(1)], gate)
            await pool.close()
            await pool.close()
        return server.commands

    assert 1 == asyncio.run(scenario()).count("QUIT")
