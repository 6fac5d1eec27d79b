"""One POST to an address of clarion.yaml, and to nobody else (S-9.4).

The name is resolved once; private addresses are refused unless the endpoint is `internal`; the connection goes to the
address that was looked at. A redirect is not followed. The whole of it, from the name to the answer, has one deadline:
who sends a byte now and then does not hold anybody up.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

from core.plain_text import one_line

#: What an answer may have; the rest is not read.
_LONGEST_ANSWER: Final = 2_000
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Of IPv6 nothing else was given out to the open Internet (RFC 4291, 2.4).
_GIVEN_OUT: Final = IPv6Network("2000::/3")
#: Answers after which the same call would fare no better; of 408, 425 and 429 a later one may.
_FINAL: Final = frozenset(range(400, 500)) - {401, 403, 404, 408, 409, 425, 429}


class Refused(Exception):
    """The call was not taken. `is_final`: to try again is no use. `was_heard`: there was an answer."""

    def __init__(self, why: str, *, is_final: bool = False, was_heard: bool = False) -> None:
        super().__init__(one_line(why))
        self.is_final, self.was_heard = is_final, was_heard


class _Deadline:
    """The instant by which everything is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then.

        Raises:
            TimeoutError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: timedelta, internal: bool) -> None:
    """The other side took the call: it answered with 2xx, and within `timeout`.

    Raises:
        Refused: it did not, or cannot be reached.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        status, reason = _answered(url, body, headers, _Deadline(timeout.total_seconds()), internal=internal)
    except (OSError, http.client.HTTPException, ValueError) as error:  # UnicodeError: the URL cannot be written out
        raise Refused(f"{host} cannot be reached: {type(error).__name__}: {error}") from None
    if not 200 <= status < 300:
        raise Refused(f"{host} answered {status} {reason}", is_final=status in _FINAL, was_heard=True)


def _answered(
    url: str, body: bytes, headers: Mapping[str, str], deadline: _Deadline, *, internal: bool
) -> tuple[int, str]:
    """Status and reason of the answer. What comes after them changes nothing, so it may break off."""
    parts = urlsplit(url)
    host, is_https = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    link = http.client.HTTPConnection(host, port)
    sock = _connected(host, port, deadline, internal=internal)
    try:
        if is_https:
            sock.settimeout(deadline.left())
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        link.sock = _Timed(sock, deadline)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        link.request("POST", path, body, dict(headers))
        answer = link.getresponse()
        with suppress(OSError, http.client.HTTPException, ValueError):
            answer.read(_LONGEST_ANSWER)
        return answer.status, answer.reason
    finally:
        sock.close()


class _Timed:
    """A socket as `http.client` uses it, of which every operation ends by the deadline. Whoever made it closes it."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def sendall(self, sent: Any) -> None:
        """All of it was handed over to the system."""
        rest = memoryview(sent)
        while rest:
            self._sock.settimeout(self._deadline.left())
            rest = rest[self._sock.send(rest) :]

    def makefile(self, *_: Any) -> io.BufferedReader:
        """What the other side sends."""
        return io.BufferedReader(_Incoming(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: see above."""


class _Incoming(io.RawIOBase):
    """The bytes of a socket, of which every read ends by the deadline."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)


def _connected(host: str, port: int, deadline: _Deadline, *, internal: bool) -> socket.socket:
    found = _resolved(host, port, deadline)
    usable = [address for address in found if internal or is_public(address)]
    if not usable:
        raise Refused(f"{host} is an address of a private network; if that is meant, set `internal: true`")
    last: OSError | None = None
    for address in usable:
        try:
            return socket.create_connection((address, port), deadline.left())
        except OSError as error:
            last = error
    assert last is not None  # noqa: S101  there was one address at least
    raise last


def _resolved(host: str, port: int, deadline: _Deadline) -> list[str]:
    """The addresses of the host. The system's resolver knows no time: whoever waits for it in vain leaves it behind."""
    answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def look() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(place[4][0]) for place in found])
        except Exception as error:  # noqa: BLE001  raised by whoever asked
            answers.put(error)

    Thread(target=look, name=f"name of {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError("its name was not resolved in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def is_public(text: str) -> bool:
    """Whether the address is one of the open Internet, however it is written."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address not in _GIVEN_OUT:
            return False
    return address.is_global and not address.is_multicast
