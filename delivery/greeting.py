"""A transport is tried without sending anything: greeting, EHLO, TLS and AUTH as for real mail, then QUIT."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from core.errors import TransportError
from core.transport_settings import Transport
from delivery.smtp import Endpoint, Timers, Tls
from delivery.smtp.addresses import Addresses
from delivery.smtp.opening import open_connection

#: Somebody waits at the keyboard: no step gets more.
_LONGEST_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Greeted:
    """How one transport answered. `fault`: why mail cannot go over it; None: it can."""

    transport: str
    detail: str
    fault: TransportError | None = None


def greet(transports: Mapping[str, Transport], folder: Path) -> list[Greeted]:
    """How each of the transports answers, in their order; all are tried at the same time. Nothing is sent."""

    async def everyone() -> list[Greeted]:
        return list(await asyncio.gather(*(_greeted(name, way, folder) for name, way in transports.items())))

    return asyncio.run(everyone())


async def _greeted(name: str, transport: Transport, folder: Path) -> Greeted:
    try:
        endpoint = _impatient(Endpoint.of(transport, folder))
        privacy = await _spoken_with(endpoint)
    except TransportError as error:
        text = f"{name} at {transport.shown} does not answer as it should: {error.message}"
        return Greeted(name, text, error)
    login = "logged in" if endpoint.user is not None else "no login"
    return Greeted(name, f"{transport.shown} answers: {privacy}, {login}")


async def _spoken_with(endpoint: Endpoint) -> str:
    """How private the connection was, which is closed again."""
    connection, features = await open_connection(endpoint, None, Addresses(endpoint.host, endpoint.port))
    with contextlib.suppress(OSError, TransportError):
        connection.write(b"QUIT\r\n")
        await connection.reply(endpoint.timers.quit)
    if connection.is_open:
        connection.transport.abort()
    if endpoint.tls is Tls.NONE:
        return "no TLS, though the server offers it" if features.starttls else "no TLS"
    return "TLS with a valid certificate"


def _impatient(endpoint: Endpoint) -> Endpoint:
    times = {field.name: min(getattr(endpoint.timers, field.name), _LONGEST_S) for field in fields(Timers)}
    return replace(endpoint, timers=Timers(**times))
