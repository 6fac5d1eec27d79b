"""XOAUTH2: the token comes from a command or a file, is renewed once, and is never shown (S-1.26, S-1.27)."""

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.smtp_settings import Xoauth2
from core.transport_settings import Transport
from delivery.smtp import OutcomeState, SmtpPool, Tls, TransportFault
from delivery.smtp.endpoint import Endpoint
from delivery.smtp.tokens import TokenSource
from tests.certificates import server_context, trusting
from tests.smtp_server import Answer, Conversation, Gate, ScriptedServer, deliver, make_outgoing

REASON = json.dumps({"status": "401", "schemes": "bearer", "scope": "https://mail.paper.example/"})
CHALLENGE = b"334 " + base64.b64encode(REASON.encode())


def response(token: str) -> str:
    """The command that a good client sends."""
    text = f"user=shop@paper.example\x01auth=Bearer {token}\x01\x01"
    return "AUTH XOAUTH2 " + base64.b64encode(text.encode()).decode()


class Authority:
    """A server that lets one token in: to others it says 334 with its reason and, after the empty line, `refusal`."""

    def __init__(self, token: str, refusal: bytes = b"535 5.7.8 bad credentials") -> None:
        self.token = token
        self.refusal = refusal

    def __call__(self, talk: Conversation) -> Answer:
        if talk.commands[-1] == "":
            return self.refusal
        return None if talk.commands[-1] == response(self.token) else CHALLENGE


def server(authority: Authority, offered: bytes = b"AUTH PLAIN XOAUTH2") -> ScriptedServer:
    """It speaks TLS from the first byte."""
    ehlo = b"250-test.example\r\n250-PIPELINING\r\n250 " + offered
    return ScriptedServer({"auth": authority}, ehlo=ehlo, tls=server_context("127.0.0.1"), implicit=True)


def tokens(folder: Path, *fresh: str) -> TokenSource:
    """A command that gives one token after the other, and the last one for ever; it counts its calls in `calls`."""
    (folder / "tokens").write_text("".join(f"{token}\n" for token in fresh))
    (folder / "fetch").write_text(
        "echo x >> calls\nhead -1 tokens\nif [ $(wc -l < tokens) -gt 1 ]; then sed -i 1d tokens; fi\n"
    )
    return TokenSource(Xoauth2(user="shop@paper.example", token_command="sh fetch"), folder)


def call_count(folder: Path) -> int:
    """How often the command was run."""
    calls = folder / "calls"
    return len(calls.read_text().split()) if calls.exists() else 0


async def delivered(at: ScriptedServer, source: TokenSource, gate: Gate, **endpoint: object) -> None:
    """Three messages with the account of the shop."""
    values: Mapping[str, object] = {"tls": Tls.IMPLICIT, "user": "shop@paper.example", "tokens": source} | endpoint
    async with at:
        await deliver(at, 3, gate=gate, ssl_context=trusting(), **values)  # type: ignore[arg-type]


def fault_of(at: ScriptedServer, source: TokenSource, **endpoint: object) -> TransportFault:
    """The fault that the delivery ends with; nobody failed by it."""
    gate = Gate()
    with pytest.raises(TransportFault) as caught:
        asyncio.run(delivered(at, source, gate, **endpoint))
    assert {OutcomeState.NOT_SENT} == set(gate.states.values())
    assert not [command for command in at.commands if command.startswith("MAIL")]
    return caught.value


def test_token_logs_in(tmp_path: Path) -> None:
    """
    The token of the command goes as XOAUTH2 wants it, also where PLAIN is offered; it is fetched once for all.
    """
    gate, at = Gate(), server(Authority("t1"))

    asyncio.run(delivered(at, tokens(tmp_path, "t1", "t2"), gate, messages_per_connection=1))

    assert dict.fromkeys((1, 2, 3), OutcomeState.ACCEPTED) == gate.states
    assert [response("t1")] * 3 == [command for command in at.commands if command.startswith("AUTH")]
    assert 1 == call_count(tmp_path)


def test_refused_token_is_renewed_once(tmp_path: Path) -> None:
    """
    334 is answered by an empty line, and 535 by a fresh token on the same connection.
    """
    gate, at = Gate(), server(Authority("t2"))

    asyncio.run(delivered(at, tokens(tmp_path, "t1", "t2", "t3"), gate))

    assert dict.fromkeys((1, 2, 3), OutcomeState.ACCEPTED) == gate.states
    assert [response("t1"), "", response("t2")] == at.conversations[0].commands[1:4]
    assert 2 == call_count(tmp_path)


def test_second_refusal_ends_it(tmp_path: Path) -> None:
    """
    When the fresh token is refused too, the transport is held: no third try, however many connections there are.
    """
    at = server(Authority("t9"))

    fault = fault_of(at, tokens(tmp_path, "t1", "t2", "t3"), connections=5)

    assert not fault.temporary
    assert "535" in fault.message
    assert '"status": "401"' in fault.message
    assert [response("t1"), response("t2")] == [command for command in at.commands if command.startswith("AUTH")]


def test_same_token_is_not_tried_again(tmp_path: Path) -> None:
    """
    Where the command gives the refused token once more, it is not sent a second time.
    """
    at = server(Authority("t9"))

    fault_of(at, tokens(tmp_path, "t1"))

    assert [response("t1")] == [command for command in at.commands if command.startswith("AUTH")]


@pytest.mark.parametrize(
    ("refusal", "temporary"),
    [(b"454 4.7.0 later", True), (b"534 5.7.9 no", False), (b"538 5.7.11 no", False), (b"421 4.3.2 busy", True)],
)
def test_other_refusals_renew_nothing(refusal: bytes, temporary: bool, tmp_path: Path) -> None:
    """
    454 is temporary, 534 and 538 hold the transport, and none of them asks for a fresh token.
    """
    fault = fault_of(server(Authority("t9", refusal)), tokens(tmp_path, "t1", "t2"))

    assert temporary is fault.temporary
    assert 1 == call_count(tmp_path)


def test_token_is_not_sent_where_it_is_not_understood(tmp_path: Path) -> None:
    """
    A server that offers other mechanisms only gets no token, and none is fetched.
    """
    at = server(Authority("t1"), offered=b"AUTH PLAIN LOGIN")

    fault = fault_of(at, tokens(tmp_path, "t1"))

    assert "XOAUTH2" in fault.message
    assert 0 == call_count(tmp_path)


def test_expired_token_is_renewed_for_the_next_connection(tmp_path: Path) -> None:
    """
    A token that runs out between two connections of a pool costs no message.
    """
    authority = Authority("t1")
    at, gate = server(authority), Gate()
    source = tokens(tmp_path, "t1", "t2")

    async def scenario() -> None:
        async with at:
            endpoint = Endpoint(
                "127.0.0.1", at.port, Tls.IMPLICIT, user="shop@paper.example", tokens=source,
                connections=1, messages_per_connection=2,
            )  # fmt: skip
            pool = SmtpPool(endpoint, ssl_context=trusting())
            await pool.deliver([make_outgoing(1), make_outgoing(2)], gate)
            authority.token = "t2"
            await pool.deliver([make_outgoing(3)], gate)
            await pool.close()

    asyncio.run(scenario())

    assert dict.fromkeys((1, 2, 3), OutcomeState.ACCEPTED) == gate.states
    assert 2 == call_count(tmp_path)


def test_token_file_is_read_in_the_workspace(tmp_path: Path) -> None:
    """
    The first line of the file is the token.
    """
    (tmp_path / "token").write_text("t1\nexpires tomorrow\n")
    source = TokenSource(Xoauth2(user="shop@paper.example", token_file="token"), tmp_path)

    assert "t1" == asyncio.run(source.token())


@pytest.mark.parametrize(
    ("settings", "temporary"),
    [
        ({"token_command": "sh -c 'echo s3cret >&2; exit 3'"}, True),
        ({"token_command": "echo"}, True),
        ({"token_command": "echo two words"}, True),
        ({"token_command": "./no-such-program"}, False),
        ({"token_file": "no-such-file"}, False),
    ],
)
def test_token_that_cannot_be_had_holds_the_transport(
    settings: dict[str, str], temporary: bool, tmp_path: Path
) -> None:
    """
    A command or file without a token is the transport's fault; what the command wrote is not shown.
    """
    source = TokenSource(Xoauth2(user="shop@paper.example", **settings), tmp_path)  # type: ignore[arg-type]

    fault = fault_of(server(Authority("t1")), source)

    assert temporary is fault.temporary
    assert "token" in fault.message
    assert "s3cret" not in f"{fault} {fault.hint}"


def test_endpoint_of_settings_with_xoauth2(tmp_path: Path) -> None:
    """
    `auth` names the user, makes the connection private even on this machine, and shows no command.
    """
    settings = {"url": "smtp://localhost:587", "auth": {"xoauth2": {"user": "shop", "token_command": "get s3cret"}}}

    transport = Transport.model_validate(settings)
    endpoint = Endpoint.of(transport, tmp_path)

    assert ("shop", None, Tls.STARTTLS) == (endpoint.user, endpoint.password, endpoint.tls)
    assert endpoint.tokens is not None
    assert "s3cret" not in repr(endpoint) + repr(transport)
