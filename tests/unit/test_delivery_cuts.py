"""Which answers slow a recipient domain down (S-1.30)."""

import asyncio

import pytest

from delivery.smtp import OutcomeState
from delivery.smtp.replies import Reply
from delivery.smtp.steps import Step
from delivery.throttles.cuts import is_too_fast
from tests.smtp_server import LOCK_STEP, PIPELINING, Gate, ScriptedServer, deliver

END, MAIL, RECIPIENT = Step.END_OF_DATA, Step.MAIL, Step.RECIPIENT


@pytest.mark.parametrize(
    ("reply", "step", "expected"),
    [
        ("421 4.7.28 unusual rate of mail", END, True),
        ("450 4.7.1 try later", RECIPIENT, True),
        ("451 rate limited, slow down", RECIPIENT, True),
        ("421 temporarily deferred due to user complaints", END, True),
        ("421 relay.example Service not available, closing", END, False),
        ("421 4.3.2 shutting down", RECIPIENT, False),
        ("450 4.2.1 mailbox receives mail too fast", RECIPIENT, False),
        ("450 4.7.1 you send too fast", MAIL, False),
        ("421 4.7.0 too many connections", None, False),
    ],
)
def test_receiver_slows_down_its_own_domain_only(reply: str, step: Step | None, expected: bool) -> None:
    """
    What the relay says of itself, of the sender or of one mailbox slows nobody's domain down.
    """
    code, _, text = reply.partition(" ")
    outcome = Reply(int(code), (text.encode(),)).outcome(OutcomeState.DEFERRED, step)

    assert expected is is_too_fast(outcome)


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
@pytest.mark.parametrize(("stage", "step"), [("mail", MAIL), ("recipient", RECIPIENT), ("end", END)])
def test_outcome_tells_what_a_closing_answered(stage: str, step: Step, ehlo: bytes) -> None:
    """
    A 421 that ends the connection is known by the step it was said to.
    """

    async def scenario() -> Gate:
        async with ScriptedServer({stage: b"421 4.7.0 closing"}, ehlo=ehlo) as server:
            return await deliver(server, 1)

    outcome = asyncio.run(scenario()).outcomes[1]

    assert (OutcomeState.DEFERRED, step) == (outcome.state, outcome.refused_at)
