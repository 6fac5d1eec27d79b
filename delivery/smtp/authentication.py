"""AUTH: PLAIN or LOGIN with a password, XOAUTH2 with a token (S-1.26, S-1.27). It is called inside TLS only."""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from delivery.smtp.endpoint import Endpoint
from delivery.smtp.replies import Reply
from delivery.smtp.tokens import TokenSource

#: `await command(line)`: the server's reply to it.
Command = Callable[[str], Awaitable[Reply]]
_REFUSED: Final = 535
_LONGEST_REASON: Final = 200
_BEARER: Final = "auth=Bearer "
#: A quotation may be cut off, or spread over lines: words of this length that are a piece of a secret are hidden too.
_SHORTEST_PIECE: Final = 6
_WORD: Final = re.compile(rf"[A-Za-z0-9+/=._~-]{{{_SHORTEST_PIECE},}}")


class AuthRefused(Exception):
    """The server does not let this account in; `temporary` where it said later."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary


async def log_in(endpoint: Endpoint, offered: Collection[str], command: Command) -> None:
    """The server let the endpoint's user in.

    No error tells what was sent: servers quote what they do not understand (S-1.27).

    Raises:
        AuthRefused: it did not, or it offers no mechanism that would do.
        ConnectionError: it broke off, or what it said is no reply.
        TransportFault: there is no token to be had.
    """
    secrets = [endpoint.password] if endpoint.password else []

    async def tell(line: str) -> Reply:
        secrets.extend(_secrets_in(line))
        return await command(line)

    try:
        await _log_in(endpoint, offered, tell)
    except AuthRefused as error:
        raise AuthRefused(_without(secrets, error.message), temporary=error.temporary) from None
    except ConnectionError as error:
        raise ConnectionError(_without(secrets, str(error))) from None


async def _log_in(endpoint: Endpoint, offered: Collection[str], command: Command) -> None:
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
    reply = await command(f"AUTH XOAUTH2 {_base64(f'user={user}{chr(1)}{_BEARER}{token}{chr(1)}{chr(1)}')}")
    if reply.kind != 3:
        return reply, ""
    return await command(""), _reason(reply)


def _secrets_in(line: str) -> list[str]:
    """The base64 word of a line of AUTH, and the token inside it if there is one."""
    word = line.removeprefix("AUTH ").partition(" ")[2] if line.startswith("AUTH ") else line
    if not word:
        return []
    token = base64.b64decode(word).decode().partition(_BEARER)[2].strip(chr(1))
    return [word, token] if token else [word]


def _without(secrets: Collection[str], text: str) -> str:
    """`text` with "…" in the place of each secret and of every word that is a piece of one, in any case."""
    for secret in sorted(secrets, key=len, reverse=True):
        pattern = re.escape(secret)
        bounded = pattern if len(secret) >= _SHORTEST_PIECE else rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(bounded, "…", text, flags=re.IGNORECASE)
    folded = [secret.lower() for secret in secrets]
    return _WORD.sub(lambda word: "…" if any(word[0].lower() in secret for secret in folded) else word[0], text)


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
