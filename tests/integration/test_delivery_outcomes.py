"""What becomes of a message for every answer a server can give, with and without pipelining."""

import asyncio
from collections.abc import Iterator

import pytest

from delivery.smtp import OutcomeState, Outgoing, Timers, TransportFault
from tests.smtp_server import (
    CONTENT,
    DROP,
    LOCK_STEP,
    PIPELINING,
    STALL,
    Gate,
    Script,
    ScriptedServer,
    deliver,
    make_outgoing,
)

A, D, F, U, N = (
    OutcomeState.ACCEPTED,
    OutcomeState.DEFERRED,
    OutcomeState.FAILED,
    OutcomeState.UNKNOWN,
    OutcomeState.NOT_SENT,
)
QUICK = Timers(mail=0.2, recipient=0.2, data=0.2, end_of_data=0.2, quit=0.2, greeting=0.2, hello=0.2)

#: script for the first of three messages -> its state, code and enhanced code; the others are accepted.
ANSWERS: dict[str, tuple[Script, OutcomeState, int | None, str | None]] = {
    "taken": ({}, A, 250, "2.0.0"),
    "taken, bare code": ({"end": [b"250"]}, A, 250, None),
    "taken, several lines": ({"end": [b"250-2.0.0 taken\r\n250-as\r\n250 42"]}, A, 250, "2.0.0"),
    "taken, unseen code": ({"end": [b"299 fine"]}, A, 299, None),
    "MAIL later": ({"mail": [b"451 4.3.0 busy"]}, D, 451, "4.3.0"),
    "MAIL never": ({"mail": [b"552 5.3.4 too big"]}, F, 552, "5.3.4"),
    "RCPT later": ({"recipient": [b"450 4.2.1 greylisted"]}, D, 450, "4.2.1"),
    "RCPT never": ({"recipient": [b"550 5.1.1 no such user"]}, F, 550, "5.1.1"),
    "RCPT never, unseen code": ({"recipient": [b"559 no"]}, F, 559, None),
    "DATA later": ({"data": [b"451 4.3.0 disk full"]}, D, 451, "4.3.0"),
    "DATA never": ({"data": [b"554 5.7.1 no"]}, F, 554, "5.7.1"),
    "end later": ({"end": [b"452 4.3.1 disk full"]}, D, 452, "4.3.1"),
    "end later, unseen code": ({"end": [b"471 rspamd says later"]}, D, 471, None),
    "end never": ({"end": [b"554 5.7.1 spam"]}, F, 554, "5.7.1"),
    "end with the connection": ({"end": [b"421 4.3.0 closing"]}, D, 421, "4.3.0"),
    "end unanswered, cut": ({"end": [DROP]}, U, None, None),
    "end unanswered, silent": ({"end": [STALL]}, U, None, None),
    "end garbled": ({"end": [b"taken, thanks"]}, U, None, None),
    "end inconsistent": ({"end": [b"250-taken\r\n550 or not"]}, U, None, None),
    "end beside the point": ({"end": [b"354 more"]}, U, 354, None),
    "MAIL garbled": ({"mail": [b"\xff\xfe"]}, D, None, None),
    "MAIL over-long": ({"mail": [b"250-" + b"x" * 5000 + b"\r\n250 x"]}, D, None, None),
    "MAIL silent": ({"mail": [STALL]}, D, None, None),
    "RCPT beside the point": ({"recipient": [b"354 go on"]}, D, 354, None),
    "DATA beside the point": ({"data": [b"250 ok"]}, D, 250, None),
    "MAIL with the connection": ({"mail": [b"421 4.7.0 too fast"]}, D, 421, "4.7.0"),
    "cut at RCPT once": ({"recipient": [DROP]}, A, 250, "2.0.0"),
    "cut at RCPT twice": ({"recipient": [DROP, None, None, DROP]}, A, 250, "2.0.0"),
    "RSET refused": ({"recipient": [b"550 5.1.1 no"], "rset": [b"502 5.5.1 no RSET"]}, F, 550, "5.1.1"),
}  # fmt: skip


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
@pytest.mark.parametrize("case", ANSWERS)
def test_answer_decides_its_own_message_only(case: str, ehlo: bytes) -> None:
    """
    Each answer gives its message the outcome of standards S-1.1 to S-1.9; the other messages are accepted.
    """
    script, state, code, enhanced = ANSWERS[case]

    async def run() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(script, ehlo=ehlo) as server:
            return await deliver(server, 3, timers=QUICK), server

    gate, server = asyncio.run(run())

    outcome = gate.outcomes[1]
    assert (state, code, enhanced) == (outcome.state, outcome.code, outcome.enhanced)
    assert {1: state, 2: A, 3: A} == gate.states
    taken = [recipient for message in server.received for recipient in message.recipients]
    assert [1, 1] == [taken.count(f"RCPT TO:<c{number}@customers.example>") for number in (2, 3)]


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
def test_second_loss_of_a_connection_defers_the_message(ehlo: bytes) -> None:
    """
    A message whose connections break before the dot gets one more connection, and is then deferred.
    """

    async def run() -> Gate:
        async with ScriptedServer({"recipient": [DROP, DROP]}, ehlo=ehlo) as server:
            return await deliver(server, 2)

    assert {1: D, 2: A} == asyncio.run(run()).states


def test_go_ahead_for_nobody_gets_a_lone_dot() -> None:
    """
    When the recipient was refused and DATA is accepted all the same, nobody is counted as sent (S-1.9).
    """

    async def run() -> tuple[Gate, ScriptedServer]:
        script: Script = {"recipient": [b"550 5.1.1 no such user"], "data": [b"354 go ahead"]}
        async with ScriptedServer(script) as server:
            return await deliver(server, 2), server

    gate, server = asyncio.run(run())

    assert {1: F, 2: A} == gate.states
    assert [2] == gate.handed_over
    assert ["RCPT TO:<c2@customers.example>"] == [to for taken in server.received for to in taken.recipients]


#: script -> whether the fault may pass by itself
FAULTS: dict[str, tuple[Script, bool]] = {
    "greeting never": ({"greeting": b"554 5.3.2 no mail here"}, False),
    "greeting later": ({"greeting": b"421 4.3.2 busy"}, True),
    "greeting garbled": ({"greeting": b"hello"}, True),
    "greeting silent": ({"greeting": STALL}, True),
    "greeting cut": ({"greeting": DROP}, True),
    "EHLO later": ({"ehlo": b"450 4.3.2 busy"}, True),
    "HELO never": ({"ehlo": b"502 5.5.1 what", "helo": b"550 5.7.1 not you"}, False),
    "MAIL without AUTH": ({"mail": b"530 5.7.0 authentication required"}, False),
    "MAIL relaying": ({"mail": b"550 5.7.1 relaying denied"}, False),
    "RCPT without AUTH": ({"recipient": b"530 5.7.0 authentication required"}, False),
    "no connection lasts": ({"mail": DROP}, True),
    "every connection closed": ({"mail": b"421 4.7.0 go away"}, True),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_transport_fault_fails_nobody(case: str) -> None:
    """
    When the server refuses the client as such, the delivery ends with a fault and no message has failed (S-1.8).
    """
    script, temporary = FAULTS[case]
    gate = Gate()

    async def run() -> None:
        async with ScriptedServer(script) as server:
            await deliver(server, 20, gate=gate, connections=4, timers=QUICK)

    with pytest.raises(TransportFault) as caught:
        asyncio.run(run())

    assert temporary is caught.value.temporary
    assert set(gate.states.values()) <= {N, D}
    assert [] == gate.handed_over
    assert N in gate.states.values()


def test_unreachable_server_is_a_transport_fault() -> None:
    """
    A refused connection reports the messages taken so far as not sent, and leaves the others in their source.
    """
    gate, source = Gate(), iter([make_outgoing(number) for number in range(100)])

    async def run() -> None:
        async with ScriptedServer() as server:
            pass
        await deliver(server, source, gate=gate, connections=4)

    with pytest.raises(TransportFault) as caught:
        asyncio.run(run())

    assert caught.value.temporary
    assert {N} == set(gate.states.values())
    assert 100 - len(gate.states) == len(list(source))


def test_helo_serves_where_ehlo_is_unknown() -> None:
    """
    A server that knows HELO only is spoken to without any extension.
    """

    async def run() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer({"ehlo": b"500 5.5.1 what?"}) as server:
            return await deliver(server, 2, helo="mail.paper.example"), server

    gate, server = asyncio.run(run())

    assert {1: A, 2: A} == gate.states
    assert "HELO mail.paper.example" == server.commands[1]
    assert "MAIL FROM:<offers@paper.example>" == server.commands[2]


@pytest.mark.parametrize(
    ("values", "enhanced"),
    [
        ({"content": b"x" * 100_000 + b"\r\n"}, "5.3.4"),
        ({"content": "Subject: ü\r\n\r\n".encode()}, "5.6.3"),
        ({"recipient": "jörg@customers.example"}, "5.6.7"),
        ({"content": b"Subject: a\r\n\r\nb\n.\nc\r\n"}, "5.6.0"),
        ({"content": b"Subject: a\r\n\r\nb\r.\rc\r\n"}, "5.6.0"),
        ({"content": b"Subject: a\r\n\r\nb\n.\r\nMAIL FROM:<x@evil.example>\r\n"}, "5.6.0"),
        ({"recipient": "anna@customers.example> SIZE=1"}, "5.1.3"),
        ({"recipient": "anna@customers.example\r\nRCPT TO:<b@customers.example>"}, "5.1.3"),
        ({"mail_from": "offers@paper.example>\r\nRSET"}, "5.1.7"),
    ],
)
def test_message_that_cannot_be_sent_fails_without_a_command(values: dict[str, object], enhanced: str) -> None:
    """
    Too large, 8-bit, SMTPUTF8 or unclean messages fail alone and never reach the wire (S-1.16 to S-1.20, S-2.2).
    """

    async def run() -> tuple[Gate, ScriptedServer]:
        async with ScriptedServer(ehlo=b"250-test.example\r\n250-PIPELINING\r\n250 SIZE 100000") as server:
            return await deliver(server, [make_outgoing(1, **values), make_outgoing(2)]), server

    gate, server = asyncio.run(run())

    assert {1: F, 2: A} == gate.states
    assert enhanced == gate.outcomes[1].enhanced
    assert 1 == sum(command.startswith("MAIL") for command in server.commands)


def test_mail_names_what_the_message_needs() -> None:
    """
    SIZE counts the octets before dot-stuffing; BODY and SMTPUTF8 stand only where they are needed.
    """
    eight_bit = "Subject: a\r\n\r\n.ü\r\n".encode()

    async def run() -> ScriptedServer:
        async with ScriptedServer() as server:
            await deliver(
                server,
                [
                    make_outgoing(1),
                    make_outgoing(2, content=eight_bit),
                    make_outgoing(3, recipient="jörg@bücher.example"),
                    make_outgoing(4, recipient="anna@bücher.example", mail_from=""),
                ],
            )
        return server

    server = asyncio.run(run())

    expected = [
        f"MAIL FROM:<offers@paper.example> SIZE={len(CONTENT)}",
        f"MAIL FROM:<offers@paper.example> SIZE={len(eight_bit)} BODY=8BITMIME",
        f"MAIL FROM:<offers@paper.example> SIZE={len(CONTENT)} SMTPUTF8",
        f"MAIL FROM:<> SIZE={len(CONTENT)}",
    ]
    assert expected == [taken.mail_from for taken in server.received]
    assert ("RCPT TO:<jörg@xn--bcher-kva.example>",) == server.received[2].recipients
    assert ("RCPT TO:<anna@xn--bcher-kva.example>",) == server.received[3].recipients


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b"..\r\n",
        b".a\r\n.\r\n..\r\n",
        b"a\r\n.\r\nRSET\r\nMAIL FROM:<x@evil.example>\r\n",
        b"\r\n.\r\n",
    ],
)
def test_lines_of_dots_arrive_as_one_message(body: bytes) -> None:
    """
    Whatever dots a body holds, it arrives unchanged as exactly one message (S-1.16).
    """

    async def run() -> list[bytes]:
        async with ScriptedServer() as server:
            await deliver(server, [make_outgoing(1, content=body), make_outgoing(2)])
        return [taken.content for taken in server.received]

    assert [body, CONTENT] == asyncio.run(run())


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["pipelining", "lock step"])
def test_answers_octet_by_octet_are_understood(ehlo: bytes) -> None:
    """
    Replies that come in pieces mean the same as replies that come whole.
    """
    script: Script = {"recipient": [None, b"550 5.1.1 no such user"], "end": [None, b"451 4.3.0 later"]}

    async def run() -> Gate:
        async with ScriptedServer(script, ehlo=ehlo, piecemeal=True) as server:
            return await deliver(server, 4)

    assert {1: A, 2: F, 3: D, 4: A} == asyncio.run(run()).states


def test_reply_is_kept_printable_and_short() -> None:
    """
    The server's words are kept without control characters, at most 500 of them.
    """

    async def run() -> Gate:
        async with ScriptedServer({"recipient": [b"550 5.1.1 no\0\x1b[31m" + b"x" * 900]}) as server:
            return await deliver(server, 1)

    reply = asyncio.run(run()).outcomes[1].reply

    assert reply.startswith("5.1.1 no??[31mxxx")
    assert 500 == len(reply)


def test_source_that_breaks_ends_the_delivery_in_order() -> None:
    """
    When the messages' own iterator raises, what it gave before is delivered and reported, then its error is raised.
    """
    gate = Gate()

    def messages() -> Iterator[Outgoing]:
        yield from (make_outgoing(number) for number in (1, 2, 3))
        raise LookupError("no such row")

    async def run() -> None:
        async with ScriptedServer() as server:
            await deliver(server, messages(), gate=gate, connections=2)

    with pytest.raises(LookupError):
        asyncio.run(run())

    assert {1: A, 2: A, 3: A} == gate.states
