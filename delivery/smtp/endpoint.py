"""Where a transport leads, and how patient it is."""

import enum
import ipaddress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from core.errors import TransportError
from core.settings import Transport

_PORTS = {"smtp": 25, "smtps": 465}


class Tls(enum.Enum):
    """When the connection becomes private."""

    #: TLS from the first byte (port 465).
    IMPLICIT = "implicit"
    #: STARTTLS before anything else is said; without it nothing is sent.
    STARTTLS = "starttls"
    #: Never: on this machine, or where the settings say so.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Timers:
    """How long each answer may take, in seconds (RFC 5321 section 4.5.3.2)."""

    connect: float = 30
    greeting: float = 300
    hello: float = 300  # EHLO, STARTTLS with its handshake, and each step of AUTH
    mail: float = 300
    recipient: float = 300
    data: float = 120
    block: float = 180  # without progress while the content of a large message is written
    end_of_data: float = 600
    quit: float = 5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One SMTP server and how to speak to it. Ages are in seconds; an idle connection is closed, not reused."""

    host: str
    port: int = 25
    tls: Tls = Tls.NONE
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connections: int = 10
    messages_per_connection: int = 1000
    helo: str | None = None
    longest_age: float = 300
    longest_idle: float = 240
    timers: Timers = Timers()

    @classmethod
    def of(cls, transport: Transport) -> Self:
        """The endpoint that the settings of a transport mean.

        Raises:
            TransportError: user without password, or a password that would travel without TLS.
        """
        parts = urlsplit(transport.url)
        host = parts.hostname or ""
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if (user is None) != (password is None):
            raise TransportError("url names only one of user and password", hint="give both or neither")
        tls = _tls(transport, host, private=user is not None)
        if user is not None and tls is Tls.NONE:
            raise TransportError(
                f"{transport.shown}: a password may travel inside TLS only (got tls: none)",
                hint="use tls: starttls or an smtps:// address, or leave user and password out",
            )
        return cls(
            host=host,
            port=parts.port or _PORTS[parts.scheme],
            tls=tls,
            user=user,
            password=password,
            connections=transport.connections,
            messages_per_connection=transport.messages_per_connection,
            helo=transport.helo,
        )

    @property
    def shown(self) -> str:
        """The address as messages name it, without user and password."""
        return f"{self.host}:{self.port}"


def _tls(transport: Transport, host: str, *, private: bool) -> Tls:
    if transport.tls is not None:
        return Tls(transport.tls)
    if transport.url.startswith("smtps:"):
        return Tls.IMPLICIT
    return Tls.NONE if _is_loopback(host) and not private else Tls.STARTTLS


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
