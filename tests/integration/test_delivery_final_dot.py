"""A message that is large keeps its final dot back until its lines have left: without the dot nobody has it."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from delivery.smtp import Endpoint, Outcome, OutcomeState, Tls
from delivery.smtp.connection import Connection
from delivery.smtp.session import Session
from delivery.smtp.steps import Step
from tests.certificates import server_context, trusting
from tests.smtp_server import Script, ScriptedServer, deliver, make_outgoing
from tests.unit.test_delivery_connection_timers import Waiting

D, F = OutcomeState.DEFERRED, OutcomeState.FAILED
#: More than any system takes from a process at once.
LARGE = b"Subject: a\r\n\r\n" + (b"x" * 74 + b"\r\n") * 100_000


def outcome_of(script: Script, tls: Tls) -> tuple[Outcome, ScriptedServer]:
    """What becomes of a large message whose server cuts it off in the middle, with the answer of stage `early`."""

    async def scenario() -> tuple[Outcome, ScriptedServer]:
        context = None if tls is Tls.NONE else server_context("127.0.0.1")
        ehlo = b"250-a\r\n250 PIPELINING"
        async with ScriptedServer(
            script, ehlo=ehlo, tls=context, implicit=tls is Tls.IMPLICIT, cut_after=100_000
        ) as server:
            gate = await deliver(server, [make_outgoing(1, content=LARGE)], tls=tls, ssl_context=trusting())
        return gate.outcomes[1], server

    return uvloop.run(scenario())


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.IMPLICIT])
@pytest.mark.parametrize(
    ("script", "state", "code"),
    [
        ({}, D, None),
        ({"early": b"552 5.3.4 too big"}, F, 552),
        ({"early": b"250 2.0.0 taken"}, D, 250),
        ({"early": b"354 go on"}, D, 354),
    ],
    ids=["cut", "refused", "taken", "beside the point"],
)
def test_message_cut_in_the_middle_is_never_in_doubt(
    tls: Tls, script: Script, state: OutcomeState, code: int | None
) -> None:
    """
    Before its dot a message can be refused (S-1.35), but is neither taken nor in doubt (S-1.2, S-1.7).
    """
    outcome, server = outcome_of(script, tls)

    assert (state, code, 0) == (outcome.state, outcome.code, server.dots)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_dot_follows_when_the_lines_have_left(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """
    Where the system takes less than the message at once, the dot comes once the rest has left too.
    """
    lines = (b"x" * 74 + b"\r\n") * 800

    async def scenario() -> tuple[bool, bytes]:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        far.setblocking(False)
        connection = Connection(Endpoint("127.0.0.1"), loop, "127.0.0.1")
        await loop.create_connection(lambda: connection, sock=near)
        connection.serve(cast("Session", Waiting(Step.END_OF_DATA)))
        connection.write_message(lines, b".\r\n")
        was_held_back, received = connection.is_dot_held_back, b""
        while len(received) < len(lines) + 3:
            received += await loop.sock_recv(far, 4096)
        connection.close_now()
        far.close()
        return was_held_back, received

    assert (True, lines + b".\r\n") == run(scenario())
