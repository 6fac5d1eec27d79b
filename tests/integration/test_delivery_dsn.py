"""DSN: bounces that name their message, asked for only where the server offers it (S-1.38, RFC 3461)."""

import asyncio
import re

import pytest

from core.transport_settings import Transport
from delivery.smtp import Endpoint
from delivery.smtp.envelope import xtext
from tests.smtp_server import PIPELINING, ScriptedServer, deliver, make_outgoing

DSN = PIPELINING.replace(b"250 OK", b"250 DSN")


def envelopes(ehlo: bytes, message: object, **endpoint: object) -> list[str]:
    """MAIL and RCPT of one message, without SIZE."""

    async def scenario() -> ScriptedServer:
        async with ScriptedServer(ehlo=ehlo) as server:
            await deliver(server, [message], **endpoint)  # type: ignore[list-item,arg-type]
        return server

    commands = asyncio.run(scenario()).commands
    return [re.sub(r" SIZE=\d+", "", line) for line in commands if line.startswith(("MAIL", "RCPT"))]


def endpoint_of(dsn: str) -> bytes:
    """What the setting asks for."""
    return Endpoint.of(Transport.model_validate({"url": "smtp://127.0.0.1", "dsn": dsn})).notify


def test_dsn_is_asked_for_where_it_is_offered() -> None:
    """
    RET and ENVID go with MAIL, NOTIFY and ORCPT with RCPT, each once; ORCPT is the address of RCPT.
    """
    message = make_outgoing(1, envelope_id="m+1=x", recipient="c+1@customers.example")

    assert [
        "MAIL FROM:<offers@paper.example> RET=HDRS ENVID=m+2B1+3Dx",
        "RCPT TO:<c+1@customers.example> NOTIFY=FAILURE ORCPT=rfc822;c+2B1@customers.example",
    ] == envelopes(DSN, message)


def test_dsn_is_not_asked_for_where_it_is_not_offered() -> None:
    """
    A server that does not offer DSN gets none of its parameters.
    """
    message = make_outgoing(1, envelope_id="m1")

    assert ["MAIL FROM:<offers@paper.example>", "RCPT TO:<c1@customers.example>"] == envelopes(PIPELINING, message)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("failure", " NOTIFY=FAILURE ORCPT=rfc822;c1@customers.example"),
        ("delay", " NOTIFY=FAILURE,DELAY ORCPT=rfc822;c1@customers.example"),
        ("none", ""),
    ],
)
def test_setting_says_which_bounces_are_wanted(setting: str, expected: str) -> None:
    """
    Bounces of failures by default, of delays too if wished; `none` leaves the extension alone.
    """
    assert (
        "RCPT TO:<c1@customers.example>" + expected == envelopes(DSN, make_outgoing(1), notify=endpoint_of(setting))[1]
    )


def test_parameters_that_would_not_fit_are_left_out() -> None:
    """
    An id of more than 100 characters is not cut but left out, and a non-ASCII address has no ORCPT of type rfc822.
    """
    long = make_outgoing(1, envelope_id="x" * 101)
    international = make_outgoing(1, recipient="jörg@a.example", envelope_id="x" * 100)

    assert "MAIL FROM:<offers@paper.example> RET=HDRS" == envelopes(DSN, long)[0]
    assert [
        f"MAIL FROM:<offers@paper.example> SMTPUTF8 RET=HDRS ENVID={'x' * 100}",
        "RCPT TO:<jörg@a.example> NOTIFY=FAILURE",
    ] == envelopes(DSN, international)


def test_xtext_leaves_nothing_that_ends_a_parameter() -> None:
    """
    Every octet but visible ASCII other than '+' and '=' is written as its hexadecimal number.
    """
    encoded = xtext(bytes(range(256)))

    assert re.fullmatch(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+", encoded)
    assert bytes(range(256)) == re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), encoded)
