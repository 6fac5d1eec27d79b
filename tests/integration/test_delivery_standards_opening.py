"""Every class of reply before the first message: the transport is at fault, and nobody fails by it (S-1.2, S-1.8)."""

import asyncio
import socket

import pytest

from delivery.smtp import OutcomeState, Timers, Tls, TransportFault
from tests.certificates import server_context, trusting
from tests.smtp_server import DROP, STALL, Conversation, Gate, Late, Script, Scripted, ScriptedServer, deliver

ACCEPTED, NOT_SENT = OutcomeState.ACCEPTED, OutcomeState.NOT_SENT
STAGES = ("greeting", "ehlo", "starttls", "auth")
_LONG = b"x" * 3000

#: what the server always says -> when it says so to the greeting, EHLO, STARTTLS and AUTH: the messages are A accepted,
#: or nothing is sent and the fault is T temporary or P permanent: somebody has to mend something.
GRID: dict[str, tuple[Scripted, str]] = {
    "S-1.1 2yz": (b"220 ok", "AAAA"),
    "S-1.1 2yz of two lines": (b"220-ok\r\n220 ok", "AAAA"),
    "S-1.1 2yz never seen, bare": (b"299", "AAAA"),
    "S-1.1 3yz": (b"354 go ahead", "TTTP"),
    "S-1.27 4yz": (b"454 4.7.0 later", "TTTT"),
    "S-1.1 4yz never seen": (b"471 later", "TTTT"),
    "S-1.1 4yz of two lines": (b"450-4.3.2 later\r\n450 please", "TTTT"),
    "S-1.5 421": (b"421 4.3.2 busy", "TTTT"),
    "S-1.8 5yz": (b"554 5.7.1 not you", "PPPP"),
    "S-1.1 5yz never seen": (b"559 not you", "PPPP"),
    "S-1.27 530": (b"530 5.7.0 authentication required", "PPPP"),
    "S-1.27 534": (b"534 5.7.9 too weak", "PPPP"),
    "S-1.27 535": (b"535 5.7.8 wrong", "PPPP"),
    "S-1.27 538": (b"538 5.7.11 encrypt first", "PPPP"),
    "S-1.2 garbled": (b"hello", "TTTT"),
    "S-1.2 two codes in one reply": (b"250-a\r\n550 b", "TTTT"),
    "S-1.2 over-long": (b"220 " + _LONG, "TTTT"),
    "S-1.21 silence": (STALL, "TTTT"),
    "S-1.5 connection cut": (DROP, "TTTT"),
}


GOOD = [answer for answer, expected in GRID.values() if expected == "AAAA"]


def _script(stage: str, answer: Scripted) -> Script:
    """A server that offers STARTTLS, and AUTH inside, and gives one answer at one stage. EHLO refused: HELO too.

    A good answer to EHLO gives its code to the polite one.
    """
    code = answer[:3] if stage == "ehlo" and isinstance(answer, bytes) and answer in GOOD else b"250"

    def hello(talk: Conversation) -> bytes:
        return b"%b-test.example\r\n%b %b" % (code, code, b"AUTH PLAIN" if talk.has_tls else b"STARTTLS")

    if code != b"250":
        return {"ehlo": hello}
    return {"ehlo": hello, "helo": b"550 no", stage: answer}


async def _ended(stage: str, answer: Scripted, *, piecemeal: bool) -> tuple[str, Gate, ScriptedServer]:
    server = ScriptedServer(_script(stage, answer), tls=server_context("127.0.0.1"), piecemeal=piecemeal)
    gate = Gate()
    quick = Timers(connect=5, greeting=1, hello=1, quit=0.5)
    try:
        async with server:
            await deliver(
                server, 3, gate=gate, tls=Tls.STARTTLS, ssl_context=trusting(), timers=quick,
                user="shop", password="s3cret",
            )  # fmt: skip
    except TransportFault as fault:
        return ("T" if fault.temporary else "P"), gate, server
    return "A", gate, server


@pytest.mark.parametrize("piecemeal", [False, True], ids=["whole", "each octet alone"])
@pytest.mark.parametrize("case", GRID)
def test_reply_class_decides_before_the_first_message(case: str, piecemeal: bool) -> None:
    """
    What goes wrong before MAIL pauses the transport, for a while or until it is mended, and fails nobody (S-1.8).
    """
    answer, expected = GRID[case]

    async def scenario() -> list[tuple[str, Gate, ScriptedServer]]:
        return await asyncio.gather(*(_ended(stage, answer, piecemeal=piecemeal) for stage in STAGES))

    for stage, letter, (ended, gate, server) in zip(STAGES, expected, asyncio.run(scenario()), strict=True):
        assert (stage, letter) == (stage, ended)
        assert {ACCEPTED if letter == "A" else NOT_SENT} == set(gate.states.values())
        assert (letter == "A") == any(command.startswith("MAIL") for command in server.commands)


def test_slow_server_is_waited_for() -> None:
    """
    Answers that each come within their time are waited for, however long the dialogue takes as a whole (S-1.21).
    """
    script: Script = {step: Late(0.2) for step in ("greeting", "ehlo", "mail", "recipient", "data", "end")}
    timers = Timers(greeting=0.9, hello=0.9, mail=0.9, recipient=0.9, data=0.9, end_of_data=0.9)

    async def scenario() -> Gate:
        async with ScriptedServer(script) as server:
            return await deliver(server, 1, timers=timers)

    assert {1: ACCEPTED} == asyncio.run(scenario()).states


def test_defaults_of_the_timers_are_those_of_the_standard() -> None:
    """
    At least five minutes for greeting, MAIL and RCPT, two for DATA, three for a block, ten for the dot (S-1.21).
    """
    timers = Timers()

    assert (300, 300, 300) == (timers.greeting, timers.mail, timers.recipient)
    assert (120, 180, 600) == (timers.data, timers.block, timers.end_of_data)


# A server with several addresses (S-1.45).


@pytest.fixture
def relay_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that resolves to 127.0.0.2 and, behind it, 127.0.0.3."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **options: object) -> list[object]:
        if host != "relay.paper.example":
            return real(host, port, *rest, **options)  # type: ignore[arg-type]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (f"127.0.0.{last}", port)) for last in (2, 3)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return "relay.paper.example"


LOOPBACKS = pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "127.0.0.3"])


@LOOPBACKS
def test_address_that_cannot_be_reached_is_passed_over(relay_name: str) -> None:
    """
    When nobody listens at the first address, the second one gets the mail.
    """

    async def scenario() -> Gate:
        async with ScriptedServer(host="127.0.0.3") as server:
            return await deliver(server, 3, host=relay_name)

    assert dict.fromkeys((1, 2, 3), ACCEPTED) == asyncio.run(scenario()).states


def _both(first: Script, second: Script, relay_name: str, gate: Gate) -> list[ScriptedServer]:
    """Three messages to a relay of two addresses; the servers behind them."""
    behind = ScriptedServer(second, host="127.0.0.3")
    ahead = ScriptedServer(first, host="127.0.0.2")

    async def scenario() -> None:
        async with behind:
            ahead.port = behind.port
            async with ahead:
                await deliver(ahead, 3, host=relay_name, gate=gate)

    asyncio.run(scenario())
    return [ahead, behind]


@LOOPBACKS
@pytest.mark.parametrize(
    "first",
    [
        {"greeting": b"421 4.3.2 busy"}, {"greeting": b"450 4.3.2 later"}, {"greeting": DROP}, {"greeting": b"huh"},
        {"ehlo": b"421 4.3.2 busy"}, {"mail": b"421 4.7.0 go away"}, {"recipient": b"421 4.7.0 go away"},
    ],
)  # fmt: skip
def test_later_at_one_address_tries_the_next(first: Script, relay_name: str) -> None:
    """
    A 4yz greeting, a lost connection and a 421 at any step are about the address: the next one gets the mail.
    """
    gate = Gate()

    ahead, behind = _both(first, {}, relay_name, gate)

    assert dict.fromkeys((1, 2, 3), ACCEPTED) == gate.states
    assert (0, 3) == (len(ahead.received), len(behind.received))


@LOOPBACKS
@pytest.mark.parametrize("step", ["mail", "recipient", "data", "end"])
def test_refusal_of_a_message_does_not_try_the_next_address(step: str, relay_name: str) -> None:
    """
    A 5yz to a message is about the message: the other address is not asked.
    """
    gate = Gate()

    ahead, behind = _both({step: b"554 5.6.0 never"}, {}, relay_name, gate)

    assert {OutcomeState.FAILED} == set(gate.states.values())
    assert (1, 0) == (len(ahead.conversations), len(behind.conversations))


@LOOPBACKS
def test_refused_password_does_not_try_the_next_address(relay_name: str) -> None:
    """
    A permanent refusal of this client ends the delivery at the first address: no password is tried twice (S-1.8).
    """
    gate = Gate()

    with pytest.raises(TransportFault):
        _both({"greeting": b"554 5.7.1 not you"}, {}, relay_name, gate)

    assert {NOT_SENT} == set(gate.states.values())


@LOOPBACKS
def test_no_address_left_is_a_temporary_fault(relay_name: str) -> None:
    """
    When every address says later, the transport pauses for a while.
    """
    gate = Gate()
    busy: Script = {"greeting": b"421 4.3.2 busy"}

    with pytest.raises(TransportFault) as caught:
        _both(busy, busy, relay_name, gate)

    assert caught.value.temporary
    assert {NOT_SENT} == set(gate.states.values())


def test_unknown_name_is_a_temporary_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name that does not resolve, now, fails nobody.
    """

    def resolve(*asked: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    gate = Gate()

    async def scenario() -> None:
        async with ScriptedServer() as server:
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            await deliver(server, 3, gate=gate, host="relay.paper.example")

    with pytest.raises(TransportFault) as caught:
        asyncio.run(scenario())

    assert caught.value.temporary
    assert {NOT_SENT} == set(gate.states.values())
