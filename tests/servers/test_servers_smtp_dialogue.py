"""What a real Postfix says to our commands: pipelined refusals, DSN parameters, sizes, relaying denied."""

import asyncio
from collections.abc import Collection, Iterator, Sequence

import pytest

from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import Endpoint, Outcome, OutcomeState, Outgoing, SmtpPool, TransportFault
from tests.processes import wait_for
from tests.servers import postfix
from tests.smtp_server import Gate, make_outgoing

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not())),
]
ACCEPTED, FAILED, NOT_SENT = OutcomeState.ACCEPTED, OutcomeState.FAILED, OutcomeState.NOT_SENT


@pytest.fixture(scope="module")
def server() -> Iterator[postfix.Postfix]:
    """One Postfix for all: it takes mail for one domain and relays to no other."""
    with postfix.running() as running:
        yield running


def letter(number: int, domain: str = postfix.DOMAIN, **values: object) -> Outgoing:
    """A message to person `number` of a domain."""
    return make_outgoing(number, recipient=f"p{number}@{domain}", **values)


async def deliver(server: postfix.Postfix, *batches: Sequence[Outgoing], connections: int = 1) -> list[Gate]:
    """The batches, one after the other, over one pool."""
    pool = SmtpPool(Endpoint("127.0.0.1", server.port, connections=connections))
    gates = [Gate() for _ in batches]
    try:
        for batch, gate in zip(batches, gates, strict=True):
            await pool.deliver(batch, gate)
    finally:
        await pool.close()
    return gates


def classes(outcomes: Collection[Outcome]) -> set[BounceClass | None]:
    """What the refusals say."""
    return {bounce_class(outcome) for outcome in outcomes}


def test_postfix_takes_every_parameter(server: postfix.Postfix) -> None:
    """
    SIZE, RET, ENVID, NOTIFY and ORCPT with characters that need encoding, and SMTPUTF8, are all understood.
    """
    letters = [
        letter(1, envelope_id="k7+f3=x"),
        make_outgoing(2, recipient=f"p+2=x@{postfix.DOMAIN}", envelope_id="x" * 100),
        make_outgoing(3, recipient=f"jörg@{postfix.DOMAIN}", envelope_id="m3"),
        letter(4, mail_from=""),
    ]

    [gate] = asyncio.run(deliver(server, letters))

    assert dict.fromkeys((1, 2, 3, 4), ACCEPTED) == gate.states
    wait_for(server.is_idle, "Postfix to deliver", server.log)


def test_relay_that_is_closed_fails_nobody(server: postfix.Postfix) -> None:
    """
    "Relay access denied" to everybody is the transport's fault.
    """
    gate = Gate()

    async def scenario() -> None:
        pool = SmtpPool(Endpoint("127.0.0.1", server.port, connections=3))
        try:
            await pool.deliver([letter(number, "elsewhere.example") for number in range(30)], gate)
        finally:
            await pool.close()

    with pytest.raises(TransportFault, match="Relay access denied") as caught:
        asyncio.run(scenario())

    assert not caught.value.temporary
    assert {NOT_SENT} == set(gate.states.values())


def test_single_denied_recipient_fails_alone(server: postfix.Postfix) -> None:
    """
    One recipient denied among others that are taken fails as blocked, and nobody else gets its answer.
    """
    letters = [letter(number, "elsewhere.example" if number % 5 == 0 else postfix.DOMAIN) for number in range(1, 41)]

    [gate] = asyncio.run(deliver(server, letters))

    assert {number: FAILED if number % 5 == 0 else ACCEPTED for number in range(1, 41)} == gate.states
    assert {BounceClass.BLOCK} == classes([gate.outcomes[number] for number in range(5, 41, 5)])


def test_message_too_large_fails_alone_and_locally(server: postfix.Postfix) -> None:
    """
    Postfix tells its largest size; a larger message fails before it is offered, now and in the next batch.
    """
    large = b"Subject: a\r\n\r\n" + b"x" * 70 + b"\r\n" * 6_000_000

    gates = asyncio.run(deliver(server, [letter(1), letter(2, content=large)], [letter(3, content=large)]))

    assert [{1: ACCEPTED, 2: FAILED}, {3: FAILED}] == [gate.states for gate in gates]
    assert {BounceClass.MESSAGE_FAULT} == classes([gates[0].outcomes[2], gates[1].outcomes[3]])
