"""AUTH: PLAIN or LOGIN with a password, XOAUTH2 with a token (S-1.26, S-1.27). It is called inside TLS only."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from delivery.smtp.endpoint import Endpoint
from delivery.smtp.replies import Reply
from delivery.smtp.tokens import TokenSource

#: `await command(line)`: the server's reply to it.
Command = Callable[[str], Awaitable[Reply]]
_REFUSED: Final = 535
_LONGEST_REASON: Final = 200


class AuthRefused(Exception):
    """The server does not let this account in; `temporary` where it said later."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary


async def log_in(endpoint: Endpoint, offered: Collection[str], command: Command) -> None:
    """The server let the endpoint's user in.

    Raises:
        AuthRefused: it did not, or it offers no mechanism that would do.
        TransportFault: there is no token to be had.
    """
    user, password = endpoint.user or "", endpoint.password or ""
    if endpoint.tokens is not None:
        _need(offered, "XOAUTH2")
        await _xoauth2(user, endpoint.tokens, command)
    elif "PLAIN" in offered:
        _expect(2, await command(f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}"))
    else:
        _need(offered, "LOGIN", "PLAIN or LOGIN")
        _expect(3, await command("AUTH LOGIN"))
        _expect(3, await command(_base64(user)))
        _expect(2, await command(_base64(password)))


async def _xoauth2(user: str, tokens: TokenSource, command: Command) -> None:
    """One try with the token there is and, after 535, one with a fresh one: never more, or accounts get locked."""
    token = await tokens.token()
    reply, reason = await _try_token(user, token, command)
    if reply.code == _REFUSED and (fresh := await tokens.token(refused=token)) != token:
        reply, reason = await _try_token(user, fresh, command)
    _expect(2, reply, reason)


async def _try_token(user: str, token: str, command: Command) -> tuple[Reply, str]:
    """The last reply, and the server's reason if it gave one: a 334 with JSON, to be answered by an empty line."""
    reply = await command(f"AUTH XOAUTH2 {_base64(f'user={user}{chr(1)}auth=Bearer {token}{chr(1)}{chr(1)}')}")
    if reply.kind != 3:
        return reply, ""
    return await command(""), _reason(reply)


def _reason(reply: Reply) -> str:
    try:
        text = base64.b64decode(b"".join(reply.lines), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f" ({text[:_LONGEST_REASON]})" if text.isprintable() else ""


def _need(offered: Collection[str], mechanism: str, expected: str = "") -> None:
    if mechanism not in offered:
        shown = ", ".join(sorted(offered)) or "nothing"
        raise AuthRefused(f"AUTH: the server offers {shown}, expected {expected or mechanism}", temporary=False)


def _expect(kind: int, reply: Reply, reason: str = "") -> None:
    if reply.kind != kind:
        text = f"the server refused AUTH: {reply.code} {reply.text}{reason}"
        raise AuthRefused(text, temporary=reply.kind == 4)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
