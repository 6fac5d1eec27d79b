"""The addresses behind the name of a server, tried in turn (S-1.45)."""

import asyncio
import socket
from typing import Final

_MOST: Final = 5
_LATELY_S: Final = 60.0


class Addresses:
    """Where to connect to: what the name resolves to, those that failed lately last."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: list[str] = []
        self._failed_at: dict[str, float] = {}

    async def in_turn(self) -> list[str]:
        """The numeric addresses to try, the best first.

        Raises:
            OSError: the name does not resolve.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._known = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        self._known.sort(key=self._lately_failed_at)  # stable: the resolver's order among the good ones
        return self._known[:_MOST]

    def failed(self, address: str) -> None:
        """For a minute the other addresses are tried before this one."""
        self._failed_at[address] = asyncio.get_running_loop().time()

    def is_elsewhere_possible(self, address: str) -> bool:
        """Whether there is an address besides this one that did not fail lately."""
        return any(other != address and not self._lately_failed_at(other) for other in self._known[:_MOST])

    def _lately_failed_at(self, address: str) -> float:
        at = self._failed_at.get(address, 0.0)
        return at if asyncio.get_running_loop().time() - at < _LATELY_S else 0.0
