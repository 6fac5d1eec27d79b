"""Where a transport leads, and how patient it is."""

import enum
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from core.errors import TransportError
from core.smtp_settings import SmtpTimers
from core.transport_settings import Transport
from delivery.smtp.tokens import TokenSource

_PORTS = {"smtp": 25, "smtps": 465}
#: When a bounce is asked for, as RCPT says it (RFC 3461 section 4.1).
_NOTIFY: Final = {"failure": b"FAILURE", "delay": b"FAILURE,DELAY", "none": b""}


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
    """How long each answer may take, in seconds (S-1.21, RFC 5321 section 4.5.3.2)."""

    connect: float = 30
    greeting: float = 300
    hello: float = 300  # EHLO, STARTTLS with its handshake, and each step of AUTH
    mail: float = 300
    recipient: float = 300
    data: float = 120
    block: float = 180  # without progress while the content of a large message is written
    end_of_data: float = 600
    quit: float = 5

    @classmethod
    def of(cls, timers: SmtpTimers) -> Self:
        """The timers that the settings of a transport mean."""
        return cls(**{step: length.total_seconds() for step, length in timers})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One SMTP server and how to speak to it. Ages are in seconds; an idle connection is closed, not reused.

    `user` logs in by `password`, or by the token of `tokens`; `notify` is when bounces are asked for (DSN).
    """

    host: str
    port: int = 25
    tls: Tls = Tls.NONE
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    connections: int = 10
    messages_per_connection: int = 1000
    helo: str | None = None
    notify: bytes = _NOTIFY["failure"]
    longest_age: float = 300
    longest_idle: float = 240
    timers: Timers = Timers()

    @classmethod
    def of(cls, transport: Transport, folder: Path = Path()) -> Self:
        """The endpoint that the settings of a transport mean, read in the workspace `folder`.

        Raises:
            TransportError: user without password, two ways to log in, or a secret that would travel without TLS.
        """
        parts = urlsplit(transport.url)
        host = parts.hostname or ""
        user, password, tokens = _login(transport, folder)
        tls = _tls(transport, host, private=user is not None)
        if user is not None and tls is Tls.NONE:
            raise TransportError(
                f"{transport.shown}: a password or token may travel inside TLS only (got tls: none)",
                hint="use tls: starttls or an smtps:// address, or leave user and password out",
            )
        return cls(
            host=host,
            port=parts.port or _PORTS[parts.scheme],
            tls=tls,
            user=user,
            password=password,
            tokens=tokens,
            connections=transport.connections,
            messages_per_connection=transport.messages_per_connection,
            helo=transport.helo,
            notify=_NOTIFY[transport.dsn],
            longest_age=transport.longest_age.total_seconds(),
            longest_idle=transport.longest_idle.total_seconds(),
            timers=Timers.of(transport.timers),
        )

    @property
    def shown(self) -> str:
        """The address as messages name it, without user and password."""
        return f"{self.host}:{self.port}"


def _login(transport: Transport, folder: Path) -> tuple[str | None, str | None, TokenSource | None]:
    parts = urlsplit(transport.url)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if transport.auth is None:
        if (user is None) != (password is None):
            raise TransportError("url names only one of user and password", hint="give both or neither")
        return user, password, None
    if user is not None or password is not None:
        raise TransportError(
            f"{transport.shown}: there are two ways to log in, in url and under auth", hint="leave one of them out"
        )
    return transport.auth.xoauth2.user, None, TokenSource(transport.auth.xoauth2, folder)


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
