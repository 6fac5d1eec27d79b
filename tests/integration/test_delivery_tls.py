"""Privacy: TLS is verified, a password travels inside it only, and a fault there fails nobody."""

import asyncio
import base64
import ssl
from collections.abc import Callable

import pytest
import uvloop

from delivery.smtp import OutcomeState, Timers, Tls, TransportFault
from tests.certificates import expired_context, outdated_context, self_signed_context, server_context, trusting
from tests.smtp_server import DROP, STALL, Conversation, Gate, Script, ScriptedServer, deliver

ACCEPTED = OutcomeState.ACCEPTED
PLAIN_HELLO = b"250-test.example\r\n250-PIPELINING\r\n250 STARTTLS"
SECRETS = {"user": "shop", "password": "s3cret"}


def hello(*, auth: bytes = b"AUTH PLAIN LOGIN") -> Script:
    """A server that offers STARTTLS before TLS, and AUTH inside."""

    def answer(talk: Conversation) -> bytes:
        return b"250-test.example\r\n250-PIPELINING\r\n250 " + auth if talk.has_tls else PLAIN_HELLO

    return {"ehlo": answer}


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
def test_verified_tls_carries_password_and_mail(run: object, tls: Tls) -> None:
    """
    Over a trusted certificate of the right name AUTH PLAIN and the messages go, and nothing went before.
    """

    async def scenario() -> tuple[Gate, ScriptedServer]:
        context = server_context("127.0.0.1")
        async with ScriptedServer(hello(), tls=context, implicit=tls is Tls.IMPLICIT) as server:
            return await deliver(server, 20, tls=tls, ssl_context=trusting(), connections=3, **SECRETS), server

    gate, server = run(scenario())  # type: ignore[operator]

    first = server.conversations[0]
    before = ["EHLO", "STARTTLS"] if tls is Tls.STARTTLS else []
    assert dict.fromkeys(range(1, 21), ACCEPTED) == gate.states
    assert [*before, "EHLO", "AUTH", "MAIL"] == [command.split()[0] for command in first.commands[: len(before) + 3]]
    assert "AUTH PLAIN " + base64.b64encode(b"\0shop\0s3cret").decode() in first.commands


def test_login_is_used_where_plain_is_not_offered() -> None:
    """
    AUTH LOGIN sends user and password in answer to the server's two questions.
    """

    async def scenario() -> list[str]:
        script = {**hello(auth=b"AUTH LOGIN"), "auth": [b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6", b"235 ok"]}
        async with ScriptedServer(script, tls=server_context("127.0.0.1")) as server:
            await deliver(server, 1, tls=Tls.STARTTLS, ssl_context=trusting(), **SECRETS)
        return server.commands

    commands = asyncio.run(scenario())

    at = commands.index("AUTH LOGIN")
    assert ["shop", "s3cret"] == [base64.b64decode(line).decode() for line in commands[at + 1 : at + 3]]


def fault_of(server: ScriptedServer, *, trust: bool = True, tls: Tls = Tls.STARTTLS) -> TransportFault:
    """The fault that a delivery of 20 messages over four connections ends with; nobody failed by it."""
    gate = Gate()

    async def scenario() -> None:
        async with server:
            await deliver(
                server, 20, gate=gate, tls=tls, ssl_context=trusting() if trust else None, connections=4,
                timers=Timers(hello=1), **SECRETS,
            )  # fmt: skip

    with pytest.raises(TransportFault) as caught:
        asyncio.run(scenario())
    assert {OutcomeState.NOT_SENT} == set(gate.states.values())
    assert [] == gate.handed_over
    return caught.value


BAD_CERTIFICATES: dict[str, tuple[Callable[[], ssl.SSLContext], bool, str]] = {
    "unknown authority": (lambda: server_context("127.0.0.1"), False, "SSL_CERT_FILE"),
    "another name": (lambda: server_context("mail.paper.example"), True, "the very host name"),
    "expired": (lambda: expired_context("127.0.0.1"), True, "it has run out"),
    "self-signed": (lambda: self_signed_context("127.0.0.1"), True, "SSL_CERT_FILE"),
}


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
@pytest.mark.parametrize("case", BAD_CERTIFICATES)
def test_certificate_that_does_not_verify_gets_nothing(case: str, tls: Tls) -> None:
    """
    A certificate of an unknown authority, for another name, expired or self-signed: neither AUTH nor MAIL (S-1.22), and
    a hint that fits.
    """
    context, trust, hint = BAD_CERTIFICATES[case]
    server = ScriptedServer(hello(), tls=context(), implicit=tls is Tls.IMPLICIT)

    fault = fault_of(server, trust=trust, tls=tls)

    assert not fault.temporary
    assert "certificate" in fault.message
    assert hint in fault.hint
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
def test_outdated_tls_gets_nothing(tls: Tls) -> None:
    """
    A server that knows no TLS newer than 1.1 gets neither AUTH nor MAIL (S-1.25).
    """
    server = ScriptedServer(hello(), tls=outdated_context("127.0.0.1"), implicit=tls is Tls.IMPLICIT)

    fault = fault_of(server, tls=tls)

    assert "TLS" in fault.message
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize(
    ("script", "temporary"),
    [
        ({"ehlo": b"250-test.example\r\n250 AUTH PLAIN"}, False),
        ({"ehlo": PLAIN_HELLO, "starttls": b"454 4.7.0 not now"}, True),
        ({"ehlo": PLAIN_HELLO, "starttls": b"220 go ahead\r\n250-injected\r\n250 AUTH PLAIN"}, False),
        ({"ehlo": PLAIN_HELLO, "starttls": b"220 go ahead\r\n250 half a li"}, False),
        ({"ehlo": PLAIN_HELLO, "starttls": b"502 5.5.1 no such thing"}, False),
        ({"ehlo": PLAIN_HELLO, "starttls": b"220 go ahead, in plain text"}, True),
        ({"ehlo": PLAIN_HELLO, "starttls": [b"220 go ahead", *[DROP] * 9]}, True),
        ({"ehlo": PLAIN_HELLO, "starttls": STALL}, True),
        ({"ehlo": b"502 5.5.1 HELO only"}, False),
    ],
)
def test_server_without_tls_gets_nothing(script: Script, temporary: bool) -> None:
    """
    STARTTLS hidden, refused, broken or followed by plain text: no downgrade, neither AUTH nor MAIL (S-1.23, S-1.24).
    """
    server = ScriptedServer(script)

    fault = fault_of(server)

    assert temporary is fault.temporary
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize(
    ("reply", "temporary"),
    [(b"535 5.7.8 wrong", False), (b"454 4.7.0 later", True), (b"534 5.7.9 too weak", False)],
)
def test_refused_password_is_tried_once(reply: bytes, temporary: bool) -> None:
    """
    A refused password pauses the transport after one attempt, however many connections it has, and is not shown.
    """
    server = ScriptedServer({**hello(), "auth": reply}, tls=server_context("127.0.0.1"))

    fault = fault_of(server)

    assert temporary is fault.temporary
    assert 1 == sum(command.startswith("AUTH") for command in server.commands)
    assert "s3cret" not in str(fault)


SENT = base64.b64encode(b"\0shop\0s3cret")


@pytest.mark.parametrize(
    "reply",
    [
        b"501 5.5.2 syntax error: AUTH PLAIN " + SENT,
        b"535-5.7.8 not let in: " + SENT[:9] + b"\r\n535 5.7.8 " + SENT[9:] + b" (shop, s3cret)",
        b"AUTH PLAIN " + SENT + b" is no command",
        b"535 " + b"x" * 480 + b" " + SENT,
    ],
    ids=["quoted", "in pieces", "no reply", "cut off"],
)
def test_credentials_that_a_server_quotes_are_not_shown(reply: bytes) -> None:
    """
    Whatever a server says about a refused login, neither what was sent nor the password is in the fault (S-1.27).
    """
    server = ScriptedServer({**hello(), "auth": reply}, tls=server_context("127.0.0.1"))

    fault = fault_of(server)

    assert not [piece for piece in (SENT[:8].decode(), SENT[-8:].decode(), "s3cret") if piece in str(fault)]
    assert "…" in fault.message
    assert fault.__cause__ is None or SENT.decode() not in repr(fault.__cause__)


def test_server_that_offers_no_known_auth_is_a_fault() -> None:
    """
    Without PLAIN or LOGIN there is nothing to log in with.
    """
    server = ScriptedServer(hello(auth=b"AUTH GSSAPI"), tls=server_context("127.0.0.1"))

    assert "GSSAPI" in fault_of(server).message


def test_everything_offered_before_tls_is_forgotten() -> None:
    """
    What only the plain-text EHLO offered is not used inside TLS: no PIPELINING, SIZE or DSN (S-1.10, S-1.24).
    """
    rich = b"250-test.example\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-DSN\r\n250-8BITMIME\r\n250 STARTTLS"
    script: Script = {"ehlo": lambda talk: b"250-test.example\r\n250 AUTH PLAIN" if talk.has_tls else rich}

    async def scenario() -> ScriptedServer:
        async with ScriptedServer(script, tls=server_context("127.0.0.1")) as server:
            await deliver(server, 2, tls=Tls.STARTTLS, ssl_context=trusting(), **SECRETS)
        return server

    server = asyncio.run(scenario())

    talk = server.conversations[0]
    assert 2 == len(server.received)
    assert ["MAIL FROM:<offers@paper.example>"] * 2 == [line for line in talk.commands if line.startswith("MAIL")]
    assert not [chunk for chunk in talk.chunks if b"MAIL" in chunk and b"RCPT" in chunk]
