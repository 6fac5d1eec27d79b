"""One POST to an address of clarion.yaml, and to nobody else (S-9.4).

The name is resolved once; private addresses are refused unless the endpoint is `internal`; the connection goes to the
address that was looked at. A redirect is not followed.
"""

import http.client
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

#: What an answer may have; the rest is not read.
_LONGEST_ANSWER: Final = 2_000
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Answers after which the same call would fare no better; of 408, 425 and 429 a later one may.
_FINAL: Final = frozenset(range(400, 500)) - {401, 403, 404, 408, 409, 425, 429}


class Refused(Exception):
    """The call was not taken. `is_final`: to try again is no use."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: timedelta, internal: bool) -> None:
    """The other side took the call: it answered with 2xx.

    Raises:
        Refused: it did not, or cannot be reached.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    seconds = timeout.total_seconds()
    link = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        link.sock = _connected(host, port, seconds, internal=internal)
        if parts.scheme == "https":
            link.sock = ssl.create_default_context().wrap_socket(link.sock, server_hostname=host)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        link.request("POST", path, body, dict(headers))
        answer = link.getresponse()
        answer.read(_LONGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{host} cannot be reached: {type(error).__name__}: {error}", is_final=False) from None
    finally:
        link.close()
    if not 200 <= answer.status < 300:
        raise Refused(f"{host} answered {answer.status} {answer.reason}", is_final=answer.status in _FINAL)


def _connected(host: str, port: int, seconds: float, *, internal: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    usable = [place for place in found if internal or is_public(str(place[4][0]))]
    if not usable:
        why = f"{host} is an address of a private network; if that is meant, set `internal: true`"
        raise Refused(why, is_final=False)
    last: OSError | None = None
    for _family, _kind, _protocol, _name, address in usable:
        try:
            return socket.create_connection((str(address[0]), port), seconds)
        except OSError as error:
            last = error
    assert last is not None  # noqa: S101  there was one address at least
    raise last


def is_public(text: str) -> bool:
    """Whether the address is one of the open Internet, however it is written."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast
