"""A port that speaks LMTP or SMTP with a mail server, and answers 250 only when the mail is committed.

It takes mail for the workspace's own domains alone, relays nothing, and sends nothing.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import Any, Final

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from core.errors import ServiceError
from core.inbound_settings import Listener
from tracking.inbound.storage import Arrived

_log = logging.getLogger("clarion.inbound")
#: Servers write lines longer than the 998 octets they may have; a longer one than this is refused.
_LONGEST_LINE: Final = 1024 * 1024
_LATER: Final = "451 4.3.0 The mail could not be stored; try again later"
_LONGEST_ENVELOPE: Final = 2000
#: Of one mail; a list of recipients costs nothing, and bounces have one.
_RECIPIENTS: Final = 100
#: Puts a mail into the database and returns after the commit.
Keep = Callable[[Arrived], None]


class _Dialogue:
    """What the listener answers beyond the protocol itself."""

    def __init__(self, source: str, domains: Collection[str], keep: Keep, executor: Executor) -> None:
        self._source, self._domains, self._keep, self._executor = source, frozenset(domains), keep, executor

    async def handle_RCPT(  # noqa: N802  as aiosmtpd names it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.rpartition("@")[2].lower().rstrip(".") not in self._domains:
            return "550 5.7.1 No mail for this domain is taken here"
        if len(envelope.rcpt_tos) >= _RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else bytes(content or b"")
        to = ", ".join(envelope.rcpt_tos).encode("utf-8", "replace").decode().replace("\x00", "")[:_LONGEST_ENVELOPE]
        mail = Arrived(self._source, raw, len(raw), to)
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._keep, mail)
        except Exception:  # noqa: BLE001  whatever it is: the mail server still has the mail, and must keep it
            _log.exception("a mail was not stored")
            return _LATER
        return "250 2.0.0 Stored"


class _Smtp(SMTP):
    line_length_limit = _LONGEST_LINE


class _Lmtp(LMTP):
    """Answers the end of the data once for each recipient (RFC 2033 section 4.2)."""

    line_length_limit = _LONGEST_LINE
    _owed = 0

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await super().smtp_DATA(arg)
        self._owed = 0

    async def push(self, status: Any) -> None:
        text = status.decode("ascii", "replace") if isinstance(status, bytes) else str(status)
        if text.startswith("354"):
            self._owed = len(self.envelope.rcpt_tos) if self.envelope is not None else 0
            await super().push(status)
            return
        times, self._owed = max(self._owed, 1), 0
        for _ in range(times):
            await super().push(status)


class _TurnedAway(asyncio.Protocol):
    """One connection too many: the server tries again later."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"421 4.3.2 Too many connections, try again later\r\n")
        transport.close()


async def listen(
    name: str, settings: Listener, domains: Collection[str], max_size: int, keep: Keep, executor: Executor
) -> asyncio.Server:
    """The listener answers on its port; close the server to end it.

    `keep` is called in the executor; the mail is answered with 250 only after it came back.

    Raises:
        ServiceError: the port cannot be had.
    """
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's: it would tell every address
    dialogue = _Dialogue(name, domains, keep, executor)
    kind = _Lmtp if settings.protocol == "lmtp" else _Smtp
    under_way: set[asyncio.Protocol] = set()

    class Counted(kind):  # type: ignore[misc,valid-type]
        """One connection of those that may be open at a time."""

        def connection_made(self, transport: Any) -> None:
            under_way.add(self)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            under_way.discard(self)
            super().connection_lost(error)

    def answerer() -> asyncio.Protocol:
        if len(under_way) >= settings.connections:
            return _TurnedAway()
        answering: asyncio.Protocol = Counted(
            dialogue, data_size_limit=max_size, enable_SMTPUTF8=True, hostname=socket.gethostname(), ident="Clarion"
        )
        return answering

    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(answerer, settings.host, settings.port)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise ServiceError(
            f"inbound.listeners.{name}: {place} cannot be listened at: {error.strerror or error}",
            hint="is it in use? Name another port in clarion.yaml",
        ) from None
