"""What is written, and when: groups of commands, sizes, names (S-1.10 to S-1.20, S-1.36, S-1.44)."""

import asyncio
import socket

import pytest

from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import Endpoint, OutcomeState, SmtpPool, Timers
from tests.smtp_server import (
    LOCK_STEP,
    PIPELINING,
    STALL,
    After,
    Answer,
    Conversation,
    Gate,
    Script,
    ScriptedServer,
    deliver,
    make_outgoing,
)

A, F = OutcomeState.ACCEPTED, OutcomeState.FAILED
LAST_IN_A_GROUP = ("EHLO", "HELO", "DATA", "QUIT", "STARTTLS")


def commands_of(chunk: bytes) -> list[str]:
    """The verbs of the commands in one write, after any content and its final dot."""
    return [line.split()[0].decode() for line in chunk.rpartition(b"\r\n.\r\n")[2].split(b"\r\n") if line]


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP, b"250-a\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME"])
def test_groups_end_where_the_standard_says(ehlo: bytes) -> None:
    """
    EHLO, DATA and QUIT stand last in their group, content follows its own go-ahead, and BDAT is never used
    (S-1.10, S-1.14).
    """
    script = {"recipient": [None, b"550 5.1.1 no", None, b"450 4.2.1 later"]}

    async def scenario() -> ScriptedServer:
        async with ScriptedServer(script, ehlo=ehlo) as server:  # type: ignore[arg-type]
            await deliver(server, 8, messages_per_connection=5)
        return server

    server = asyncio.run(scenario())

    for talk in server.conversations:
        for chunk in talk.chunks:
            assert not set(commands_of(chunk)[:-1]) & set(LAST_IN_A_GROUP)
            assert 1 >= chunk.count(b"\r\n.\r\n")
            assert ehlo is not LOCK_STEP or 1 >= len(commands_of(chunk))
        assert not [command for command in talk.commands if command.startswith("BDAT")]


def test_only_one_message_of_a_connection_waits_for_its_answer() -> None:
    """
    The content of the next message is not written before the answer to the last dot was read (S-1.36).
    """

    async def scenario() -> tuple[list[int], Gate]:
        asked = asyncio.Event()
        dots: list[int] = []

        def answer(talk: Conversation) -> Answer:
            asyncio.get_running_loop().call_later(0.05, look, talk)
            return After(asked, b"250 2.0.0 taken")

        def look(talk: Conversation) -> None:
            dots.append(b"".join(talk.chunks).count(b"\r\n.\r\n"))
            asked.set()

        async with ScriptedServer({"end": [answer]}) as server:
            return dots, await deliver(server, 3)

    dots, gate = asyncio.run(scenario())

    assert [1] == dots
    assert dict.fromkeys((1, 2, 3), A) == gate.states


def test_thousands_of_pipelined_commands_do_not_deadlock() -> None:
    """
    5,001 pipelined commands pass a slow server that takes in 4 KiB at a time (S-1.13).
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(window=4096) as server, asyncio.timeout(60):
            return await deliver(server, 1667, messages_per_connection=10_000), server

    gate, server = asyncio.run(scenario())

    assert {A} == set(gate.states.values())
    assert 1667 == len(server.received)
    assert 5001 == sum(command.startswith(("MAIL", "RCPT", "DATA")) for command in server.commands)
    assert 1 == len(server.conversations)


def test_large_messages_do_not_deadlock_a_slow_server() -> None:
    """
    Messages many times larger than the server's window arrive whole, with the next envelope behind them (S-1.13).
    """
    content = b"Subject: a\r\n\r\n" + b"x" * 70 + b"\r\n" * 40_000

    async def scenario() -> ScriptedServer:
        async with ScriptedServer(ehlo=b"250-a\r\n250 PIPELINING", window=4096) as server, asyncio.timeout(60):
            await deliver(server, [make_outgoing(number, content=content) for number in (1, 2, 3)])
        return server

    assert [content] * 3 == [taken.content for taken in asyncio.run(scenario()).received]


LARGE = b"Subject: a\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000


def test_server_that_stops_reading_is_given_up() -> None:
    """
    A large message of which nothing more leaves is deferred after the time of a block; its dot was never written
    (S-1.7, S-1.21).
    """

    async def scenario() -> Gate:
        script: Script = {"body": [STALL]}
        async with ScriptedServer(script, ehlo=b"250-a\r\n250 PIPELINING") as server:
            return await deliver(server, [make_outgoing(1, content=LARGE), make_outgoing(2)], timers=Timers(block=0.3))

    assert {1: OutcomeState.DEFERRED, 2: A} == asyncio.run(scenario()).states


def test_message_known_to_be_too_large_needs_no_connection() -> None:
    """
    After one connection told the largest size, a larger message fails as a message fault without another (S-1.20).
    """

    async def scenario() -> tuple[Gate, int, int]:
        gate = Gate()
        async with ScriptedServer() as server:
            pool = SmtpPool(Endpoint("127.0.0.1", server.port, messages_per_connection=1))
            await pool.deliver([make_outgoing(1)], Gate())
            before = len(server.conversations)
            large = [make_outgoing(number, content=b"x" * 100_000 + b"\r\n") for number in (2, 3)]
            await pool.deliver(large, gate)
            await pool.close()
            return gate, before, len(server.conversations)

    gate, before, after = asyncio.run(scenario())

    assert {2: F, 3: F} == gate.states
    assert {BounceClass.MESSAGE_FAULT} == {bounce_class(outcome) for outcome in gate.outcomes.values()}
    assert before == after


@pytest.mark.parametrize(
    ("reply", "state", "expected"),
    [
        (b"452 4.3.1 not enough room for SIZE", OutcomeState.DEFERRED, BounceClass.SOFT),
        (b"552 5.3.4 too large", F, BounceClass.MESSAGE_FAULT),
        (b"552 message too large", F, BounceClass.MESSAGE_FAULT),
    ],
)
def test_answer_to_size_is_about_the_message(reply: bytes, state: OutcomeState, expected: BounceClass) -> None:
    """
    452 to MAIL with SIZE is tried again, 552 is not, and neither is about the address (S-1.20).
    """

    async def scenario() -> Gate:
        async with ScriptedServer({"mail": [reply]}) as server:
            return await deliver(server, 2)

    gate = asyncio.run(scenario())

    assert {1: state, 2: A} == gate.states
    assert expected is bounce_class(gate.outcomes[1])


def test_address_that_needs_smtputf8_is_unsupported() -> None:
    """
    Without SMTPUTF8 a non-ASCII local part fails as unsupported, not as a hard bounce; a domain alone never needs it
    (S-1.18, S-1.19).
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=b"250-a\r\n250 PIPELINING") as server:
            people = [make_outgoing(1, recipient="jörg@a.example"), make_outgoing(2, recipient="anna@bücher.example")]
            return await deliver(server, people), server

    gate, server = asyncio.run(scenario())

    assert {1: F, 2: A} == gate.states
    assert BounceClass.UNSUPPORTED is bounce_class(gate.outcomes[1])
    assert ("MAIL FROM:<offers@paper.example>", ("RCPT TO:<anna@xn--bcher-kva.example>",)) == (
        server.received[0].mail_from, server.received[0].recipients,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "expected"),
    [("shop.paper.example", "shop.paper.example"), ("shop", "[127.0.0.1]"), ("localhost.localdomain", "[127.0.0.1]"),
     ("shop.localdomain", "[127.0.0.1]"), ("localhost", "[127.0.0.1]")],
)  # fmt: skip
def test_own_name_is_full_or_an_address(own: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a setting the machine's full name is said, else the address of this end; never localhost.
    """
    monkeypatch.setattr(socket, "gethostname", lambda: own)

    async def scenario() -> str:
        async with ScriptedServer() as server:
            await deliver(server, 1)
        return server.commands[0]

    assert f"EHLO {expected}" == asyncio.run(scenario())
