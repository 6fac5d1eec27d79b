"""Relaying denied: the transport's fault, unless it is plainly one recipient's (S-1.8)."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import Endpoint, OutcomeState, SmtpPool, TransportFault
from tests.smtp_server import LOCK_STEP, PIPELINING, Answer, Conversation, Gate, Script, ScriptedServer, deliver
from tests.smtp_server import make_outgoing as outgoing

ACCEPTED, FAILED, NOT_SENT = OutcomeState.ACCEPTED, OutcomeState.FAILED, OutcomeState.NOT_SENT
DENIED = b"554 5.7.1 <c@customers.example>: Relay access denied"
WORDINGS = [
    DENIED,  # Postfix
    b"550 relay not permitted",  # Exim
    b"550-Please turn on SMTP Authentication in your mail client.\r\n550 relay not permitted, authentication required",
    b"550 5.7.1 <c@customers.example>... Relaying denied",  # Sendmail
    b"550 5.7.1 Unable to relay for c@customers.example",  # Exchange
    b"550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",  # qmail
    b"551 we do not relay",
    b"553 5.7.1 Relaying not allowed for you",
    b"550 5.7.1 Authentication is required for relay",
    b"554 5.7.1 Client was not authenticated",
]
ALONE = [b"530 5.7.0 Must issue a STARTTLS command first", b"535 5.7.8 authentication failed", b"538 5.7.11 encrypt"]


def denies(*numbers: int) -> Script:
    """A server that denies relaying for these customers and takes the mail of the others."""

    def answer(talk: Conversation) -> Answer:
        return DENIED if any(f"<c{number}@" in talk.commands[-1] for number in numbers) else None

    return {"recipient": answer}


def fault_of(script: Script, count: int, gate: Gate, **endpoint: object) -> TransportFault:
    """The fault that the delivery ends with."""

    async def scenario() -> None:
        async with ScriptedServer(script, ehlo=PIPELINING) as server:
            await deliver(server, count, gate=gate, **endpoint)  # type: ignore[arg-type]

    with pytest.raises(TransportFault) as caught:
        asyncio.run(scenario())
    return caught.value


@pytest.mark.parametrize("connections", [1, 5])
@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("step", ["mail", "recipient"])
def test_relay_that_denies_everybody_fails_nobody(step: str, count: int, connections: int) -> None:
    """
    Said to MAIL or to every recipient, few or many, it holds the transport, and nobody has failed.
    """
    gate = Gate()

    fault = fault_of({step: DENIED}, count, gate, connections=connections)

    assert not fault.temporary
    assert "Relay access denied" in fault.message
    assert {NOT_SENT} == set(gate.states.values())
    assert [] == gate.handed_over


@pytest.mark.parametrize("wording", WORDINGS + ALONE)
@pytest.mark.parametrize("step", ["mail", "recipient"])
def test_wordings_of_common_servers_are_understood(wording: bytes, step: str) -> None:
    """
    The refusals of Postfix, Exim, Sendmail, Exchange and qmail, and those that ask for AUTH or TLS.
    """
    gate = Gate()

    fault_of({step: wording}, 5, gate)

    assert {NOT_SENT} == set(gate.states.values())


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
@pytest.mark.parametrize("denied", [(1,), (1, 2), (3,), (6,), (5, 6), (2, 5)])
def test_single_recipients_denied_fail_alone(denied: tuple[int, ...], ehlo: bytes) -> None:
    """
    Where the relay takes others before or after, one or two denied in a row fail as blocked; nobody is suppressed.
    """

    async def scenario() -> Gate:
        async with ScriptedServer(denies(*denied), ehlo=ehlo) as server:
            return await deliver(server, 6)

    gate = asyncio.run(scenario())

    assert {number: FAILED if number in denied else ACCEPTED for number in range(1, 7)} == gate.states
    assert {BounceClass.BLOCK} == {bounce_class(gate.outcomes[number]) for number in denied}


def test_three_in_a_row_are_the_transports_fault() -> None:
    """
    A relay that stops relaying in the middle is held, and the three that tell are sent again later.
    """
    gate = Gate()

    fault_of(denies(3, 4, 5, 6, 7, 8), 8, gate)

    assert [ACCEPTED] * 2 == [gate.states[number] for number in (1, 2)]
    assert {NOT_SENT} == {gate.states[number] for number in gate.states if number > 2}


def test_lone_denied_recipient_of_a_later_batch_fails_alone() -> None:
    """
    A pool remembers that its relay took others: a batch of one odd recipient does not hold the transport.
    """

    async def scenario() -> list[Gate]:
        gates = [Gate(), Gate()]
        async with ScriptedServer(denies(4)) as server:
            pool = SmtpPool(Endpoint("127.0.0.1", server.port))
            await pool.deliver([outgoing(1), outgoing(2)], gates[0])
            await pool.deliver([outgoing(4)], gates[1])
            await pool.close()
        return gates

    assert {4: FAILED} == asyncio.run(scenario())[1].states


@pytest.mark.parametrize("wording", ALONE)
def test_recipient_whose_group_asks_for_auth_fails_alone(wording: bytes) -> None:
    """
    "Authentication required", said to one recipient where another one is taken, does not hold the transport.
    """

    def answer(talk: Conversation) -> Answer:
        return wording if "<c1@" in talk.commands[-1] else None

    async def scenario() -> Gate:
        async with ScriptedServer({"recipient": answer}) as server:
            return await deliver(server, 3)

    assert {1: FAILED, 2: ACCEPTED, 3: ACCEPTED} == asyncio.run(scenario()).states


async def tried_again(script: Script, *batches: Sequence[int]) -> list[dict[int, OutcomeState]]:
    """What became of each batch, over one pool, whatever fault ended it."""
    gates = [Gate() for _ in batches]
    async with ScriptedServer(script) as server:
        pool = SmtpPool(Endpoint("127.0.0.1", server.port, connections=1))
        for gate, numbers in zip(gates, batches, strict=True):
            with contextlib.suppress(TransportFault):
                await pool.deliver([outgoing(number) for number in numbers], gate)
        await pool.close()
    return [gate.states for gate in gates]


@pytest.mark.parametrize("numbers", [(4, 5, 6, 7), (4, 5, 6)], ids=["with another one", "alone"])
def test_recipients_denied_again_fail_by_themselves(numbers: tuple[int, ...]) -> None:
    """
    Three in a row hold the transport once: denied again, by a relay that took others, they are told from it.
    """
    first, held, again = asyncio.run(tried_again(denies(4, 5, 6), (1, 2), numbers, numbers))

    assert {1: ACCEPTED, 2: ACCEPTED} == first
    assert {NOT_SENT} == set(held.values())
    assert {number: FAILED if number < 7 else ACCEPTED for number in numbers} == again


def test_denials_of_one_delivery_do_not_count_in_the_next() -> None:
    """
    Two denied in one batch and one in the next are no three in a row.
    """
    states = asyncio.run(tried_again(denies(2, 3, 4), (1,), (2, 3), (4, 5)))

    assert [{1: ACCEPTED}, {2: FAILED, 3: FAILED}, {4: FAILED, 5: ACCEPTED}] == states


def test_relay_that_stopped_relaying_fails_nobody_when_it_is_tried_again() -> None:
    """
    Those who were denied are set aside; as long as three others are denied too, it is the transport's fault.
    """
    states = asyncio.run(tried_again(denies(*range(2, 20)), (1,), range(2, 20), range(2, 20), range(2, 20)))

    assert [{NOT_SENT}] * 3 == [set(batch.values()) for batch in states[1:]]


@pytest.mark.parametrize(
    "reply",
    [
        b"550 5.1.1 <c1@a.example>: Recipient address rejected: undeliverable address: "
        b"host mx.a.example said: 554 5.7.1 Relay access denied (in reply to RCPT TO command)",
        b"550 5.1.1 user unknown, relay=[192.0.2.1]",
        b"450 4.7.1 Relay access denied",
    ],
)
def test_words_about_the_recipient_are_no_denial(reply: bytes) -> None:
    """
    Another server's words, a name of a relay, and "later" are answers to the one recipient.
    """

    async def scenario() -> Gate:
        async with ScriptedServer({"recipient": reply}) as server:
            return await deliver(server, 5)

    expected = OutcomeState.DEFERRED if reply.startswith(b"4") else FAILED
    assert {expected} == set(asyncio.run(scenario()).states.values())


def test_denial_on_a_connection_that_breaks_is_still_open() -> None:
    """
    A server that denies and hangs up at once denies all the same.
    """
    gate = Gate()
    script: Script = {"recipient": b"554 5.7.1 Relay access denied\r\n421 4.7.0 bye"}

    fault_of(script, 5, gate)

    assert {NOT_SENT} == set(gate.states.values())
