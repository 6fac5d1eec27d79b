"""A connection is brought up: greeting, EHLO, TLS, AUTH. Whatever goes wrong here is the transport's fault."""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from core.smtp_settings import is_full_name
from delivery.smtp.addresses import Addresses
from delivery.smtp.authentication import AuthRefused, log_in
from delivery.smtp.connection import Connection
from delivery.smtp.endpoint import Endpoint, Tls
from delivery.smtp.faults import TransportFault
from delivery.smtp.features import Features
from delivery.smtp.replies import Reply

_NO_TLS: Final = "the server speaks no TLS on this port: smtp:// with tls: starttls is usual at port 587 and 25"

_NOT_TRUSTED: Final = (
    "nobody whom this machine trusts vouches for it: SSL_CERT_FILE names a file of further authorities "
    "(docs/transports.md)"
)
_OTHER_NAME: Final = "the certificate must be valid for the very host name in url"
#: By OpenSSL's number of what is wrong with a certificate (X509_V_ERR_…).
_CERTIFICATE_HINTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        9: "it is not valid yet: compare its dates with the clock of this machine",
        10: "it has run out: have it renewed on the server",
        **dict.fromkeys((18, 19, 20, 21), _NOT_TRUSTED),
        **dict.fromkeys((62, 64), _OTHER_NAME),
    }
)


async def open_connection(
    endpoint: Endpoint, context: ssl.SSLContext | None, addresses: Addresses
) -> tuple[Connection, Features]:
    """A connection that is private if the endpoint says so, logged in if it has a user, and ready for MAIL.

    `context` None stands for Python's verifying default. An address that cannot be reached, or that says "later"
    before AUTH, is passed over for the next one (S-1.45).

    Raises:
        TransportFault: in every other case; nothing was sent, and no password without verified TLS (S-1.23).
    """
    try:
        candidates = await addresses.in_turn()
    except OSError as error:
        raise TransportFault(f"no address: {_words(error)}", temporary=True, where=endpoint.shown) from error
    for left, address in enumerate(candidates, start=1 - len(candidates)):
        opening = _Opening(endpoint, context, address)
        try:
            return await _opened(opening)
        except TransportFault as fault:
            if not fault.temporary or opening.has_begun_auth:
                raise
            addresses.failed(address)
            if not left:
                raise
    raise TransportFault("no address", temporary=True, where=endpoint.shown)


async def _opened(opening: "_Opening") -> tuple[Connection, Features]:
    try:
        return await opening.run()
    except TransportFault:
        opening.abandon()
        raise
    except ssl.SSLCertVerificationError as error:
        opening.abandon()
        hint = _CERTIFICATE_HINTS.get(error.verify_code, "")
        raise opening.fault(f"certificate refused: {error.verify_message}", temporary=False, hint=hint) from error
    except ssl.SSLError as error:
        opening.abandon()
        hint = _NO_TLS if error.reason == "WRONG_VERSION_NUMBER" else ""
        raise opening.fault(f"TLS failed: {error.reason or error}", temporary=False, hint=hint) from error
    except TimeoutError as error:
        opening.abandon()
        raise opening.fault("no answer within its time", temporary=True) from error
    except OSError as error:
        opening.abandon()
        raise opening.fault(f"{opening.doing}: {_words(error)}", temporary=True) from error
    except BaseException:
        opening.abandon()
        raise


def _words(error: OSError) -> str:
    """What went wrong, without numbers of the system."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers at this port"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error) or "the connection broke"
    return os.strerror(error.errno)


class _Opening:
    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, address: str) -> None:
        self.has_begun_auth = False
        self.doing = ""
        self._address = address
        self._endpoint = endpoint
        self._timers = endpoint.timers
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(endpoint, self._loop, address)

    async def run(self) -> tuple[Connection, Features]:
        await self._connect()
        self.doing = "no dialogue"
        self._expect(2, await self._connection.reply(self._timers.greeting), "the greeting")
        features = await self._hello()
        if self._endpoint.tls is Tls.STARTTLS:
            await self._start_tls(features)
            features = await self._hello()  # everything offered before is forgotten (S-1.24)
        if self._endpoint.user is not None:
            await self._log_in(features)
        return self._connection, features

    def abandon(self) -> None:
        """The connection is cut off, however far it came."""
        if self._connection.is_open:
            self._connection.transport.abort()

    def fault(self, what: str, *, temporary: bool, hint: str = "") -> TransportFault:
        return TransportFault(what, temporary=temporary, hint=hint, where=self._endpoint.shown)

    async def _connect(self) -> None:
        implicit = self._endpoint.tls is Tls.IMPLICIT
        self.doing = "cannot connect"
        async with asyncio.timeout(self._timers.connect):
            await self._loop.create_connection(lambda: self._connection, self._address, self._endpoint.port)
            if implicit:
                self.doing = "no TLS connection"
                await self._shake_hands(self._timers.connect)

    async def _hello(self) -> Features:
        """EHLO, or HELO for a server that does not know it (RFC 5321 section 3.2)."""
        name = self._endpoint.helo or self._own_name()
        reply = await self._command(f"EHLO {name}")
        if reply.kind == 5 and reply.code != 521:
            self._expect(2, await self._command(f"HELO {name}"), "HELO")
            return Features()
        self._expect(2, reply, "EHLO")
        return Features.of(reply, notify=self._endpoint.notify)

    async def _start_tls(self, features: Features) -> None:
        if not features.starttls:
            hint = "set tls: implicit for port 465, or tls: none where plain text is meant"
            raise self.fault("the server does not offer STARTTLS", temporary=False, hint=hint)
        self._expect(2, await self._command("STARTTLS"), "STARTTLS")
        self.doing = "TLS failed"
        await self._shake_hands(self._timers.hello)
        self.doing = "no dialogue"

    async def _shake_hands(self, patience: float) -> None:
        """From now on octets travel inside TLS."""
        if self._connection.has_unread_octets:
            hint = _NO_TLS if self._endpoint.tls is Tls.IMPLICIT else ""
            raise self.fault("the server spoke in plain text before the handshake", temporary=False, hint=hint)
        transport = await self._loop.start_tls(
            self._connection.transport,
            self._connection,
            self._tls_context(),
            server_hostname=self._endpoint.host,
            ssl_handshake_timeout=patience,
        )
        if transport is None:
            raise ConnectionError("the connection was lost during the handshake")
        self._connection.use(transport)

    async def _log_in(self, features: Features) -> None:
        if self._endpoint.tls is Tls.NONE:
            raise self.fault("a password or token may travel inside TLS only", temporary=False)
        self.has_begun_auth = True
        try:
            await log_in(self._endpoint, features.auth, self._command)
        except AuthRefused as error:
            hint = "check the user, and the password or token, of the transport"
            raise self.fault(error.message, temporary=error.temporary, hint=hint) from error

    async def _command(self, line: str) -> Reply:
        self._connection.write(f"{line}\r\n".encode())
        return await self._connection.reply(self._timers.hello)

    def _expect(self, kind: int, reply: Reply, what: str) -> None:
        if reply.kind != kind:
            raise self.fault(f"the server refused {what}: {reply.code} {reply.text}", temporary=reply.kind != 5)

    def _tls_context(self) -> ssl.SSLContext:
        return self._context if self._context is not None else ssl.create_default_context()

    def _own_name(self) -> str:
        """The machine's full name, else the address literal of this end; never localhost (S-1.44)."""
        name = socket.gethostname()
        if is_full_name(name):
            return name
        own = ipaddress.ip_address(self._connection.transport.get_extra_info("sockname")[0].partition("%")[0])
        return f"[{own}]" if own.version == 4 else f"[IPv6:{own}]"
