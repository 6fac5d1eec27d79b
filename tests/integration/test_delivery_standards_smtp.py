"""Every class of reply at every step of a message: what becomes of it, and that nobody else pays (S-1.1 to S-1.12)."""

import asyncio

import pytest

from delivery.smtp import OutcomeState, Timers
from tests.smtp_server import DROP, LOCK_STEP, PIPELINING, STALL, Gate, Script, Scripted, ScriptedServer, deliver

A, D, F, U = OutcomeState.ACCEPTED, OutcomeState.DEFERRED, OutcomeState.FAILED, OutcomeState.UNKNOWN
QUICK = Timers(
    connect=5, greeting=0.6, hello=0.6, mail=0.6, recipient=0.6, data=0.6, block=0.6, end_of_data=0.6, quit=0.6
)
STEPS = ("mail", "recipient", "data", "end")
_LONG = b"x" * 3000

#: what the server says once -> what becomes of the message when it is said to MAIL, RCPT, DATA and the final dot.
#: 250 where 354 is due, and the reverse, are no answers: nobody is bounced, nothing counts as sent.
GRID: dict[str, tuple[Scripted, str]] = {
    "S-1.1 2yz": (b"250 2.0.0 ok", "AADA"),
    "S-1.1 2yz of two lines": (b"250-2.0.0 well\r\n250 ok", "AADA"),
    "S-1.1 2yz, the last line a bare code": (b"250-2.0.0 well\r\n250", "AADA"),
    "S-1.1 2yz never seen": (b"299 ok", "AADA"),
    "S-1.1 3yz": (b"354 go ahead", "DDAU"),
    "S-1.1 3yz never seen": (b"399 go ahead", "DDAU"),
    "S-1.4 4yz": (b"451 4.3.0 later", "DDDD"),
    "S-1.1 4yz never seen": (b"471 later", "DDDD"),
    "S-1.1 4yz, bare": (b"450", "DDDD"),
    "S-1.1 4yz of two lines": (b"450-4.2.0 greylisted\r\n450 come back", "DDDD"),
    "S-1.4 5yz": (b"554 5.3.0 never", "FFFF"),
    "S-1.1 5yz never seen": (b"559 never", "FFFF"),
    "S-1.1 5yz of three lines": (b"550-5.1.1 nobody\r\n550-5.1.1 of that name\r\n550 5.1.1 here", "FFFF"),
    "S-1.6 452": (b"452 4.5.3 too many recipients", "DDDD"),
    "S-1.6 552 of a single recipient": (b"552 5.2.2 full", "FFFF"),
    "S-1.5 421": (b"421 4.3.2 closing", "DDDD"),
    "S-1.5 421 of two lines": (b"421-4.3.2 closing\r\n421 bye", "DDDD"),
    "S-1.2 garbled": (b"hello there", "DDDU"),
    "S-1.2 binary": (b"\x16\x03\x01\x00\xff", "DDDU"),
    "S-1.2 empty line": (b"", "DDDU"),
    "S-1.2 a code of four digits": (b"2500 ok", "DDDU"),
    "S-1.2 a code out of range": (b"650 ok", "DDDU"),
    "S-1.2 a 1yz": (b"150 wait", "DDDU"),
    "S-1.2 two codes in one reply": (b"250-ok\r\n550 or not", "DDDU"),
    "S-1.2 over-long line": (b"250 " + _LONG, "DDDU"),
    "S-1.2 line without end": (b"250-ok\r\n250 " + _LONG, "DDDU"),
    "S-1.2 too many lines": (b"250-ok\r\n" * 250 + b"250 ok", "DDDU"),
    "S-1.21 silence": (STALL, "DDDU"),
    "S-1.7 connection cut": (DROP, "AAAU"),  # before the dot the message gets one more connection
}
STATES = {"A": A, "D": D, "F": F, "U": U}
MODES = {
    "pipelined": (PIPELINING, False),
    "lock step": (LOCK_STEP, False),
    "pipelined, each octet alone": (PIPELINING, True),
    "lock step, each octet alone": (LOCK_STEP, True),
}


async def _delivered(step: str, answer: Scripted, mode: str) -> tuple[Gate, ScriptedServer]:
    ehlo, piecemeal = MODES[mode]
    script: Script = {step: [answer]}
    async with ScriptedServer(script, ehlo=ehlo, piecemeal=piecemeal) as server:
        return await deliver(server, 3, timers=QUICK), server


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", GRID)
def test_reply_class_decides_at_every_step(case: str, mode: str) -> None:
    """
    The first digit alone decides, for the message that it was said to; the two others are accepted, once each.
    """
    answer, expected = GRID[case]

    async def scenario() -> list[tuple[Gate, ScriptedServer]]:
        return await asyncio.gather(*(_delivered(step, answer, mode) for step in STEPS))

    for step, letter, (gate, server) in zip(STEPS, expected, asyncio.run(scenario()), strict=True):
        taken = [recipient for message in server.received for recipient in message.recipients]
        assert (step, {1: STATES[letter], 2: A, 3: A}) == (step, gate.states)
        assert [1, 1] == [taken.count(f"RCPT TO:<c{number}@customers.example>") for number in (2, 3)]
        assert (letter == "A") == ("RCPT TO:<c1@customers.example>" in taken) or letter == "U"


#: what the server says to the first RSET, after a refused recipient, or to QUIT, after everything
AFTERTHOUGHTS: list[Scripted] = [
    b"250 ok", b"221 bye", b"354 what", b"451 later", b"502 5.5.1 no such command", b"421 closing", b"599 never",
    b"huh?", b"250 " + _LONG, b"250-a\r\n550 b", STALL, DROP,
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_answer_to_rset_costs_nobody(mode: str) -> None:
    """
    Whatever is said to RSET, the refused message keeps its own outcome and the next ones are accepted (S-1.12, S-1.28).
    """
    ehlo, piecemeal = MODES[mode]

    async def delivered(answer: Scripted) -> Gate:
        script: Script = {"recipient": [b"550 5.1.1 nobody"], "rset": [answer]}
        async with ScriptedServer(script, ehlo=ehlo, piecemeal=piecemeal) as server:
            return await deliver(server, 3, timers=QUICK)

    async def scenario() -> list[Gate]:
        return await asyncio.gather(*map(delivered, AFTERTHOUGHTS))

    for answer, gate in zip(AFTERTHOUGHTS, asyncio.run(scenario()), strict=True):
        assert (answer, {1: F, 2: A, 3: A}) == (answer, gate.states)


@pytest.mark.parametrize("mode", MODES)
def test_answer_to_quit_changes_nothing(mode: str) -> None:
    """
    Whatever is said to QUIT, what was accepted stays accepted, and closing takes no longer than its timer.
    """
    ehlo, piecemeal = MODES[mode]

    async def delivered(answer: Scripted) -> Gate:
        async with ScriptedServer({"quit": answer}, ehlo=ehlo, piecemeal=piecemeal) as server:
            return await deliver(server, 3, timers=QUICK, messages_per_connection=2)

    async def scenario() -> list[Gate]:
        async with asyncio.timeout(20):
            return await asyncio.gather(*map(delivered, AFTERTHOUGHTS))

    for answer, gate in zip(AFTERTHOUGHTS, asyncio.run(scenario()), strict=True):
        assert (answer, {1: A, 2: A, 3: A}) == (answer, gate.states)
