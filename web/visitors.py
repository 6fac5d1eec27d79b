"""Who visits: the network address a request came from, and what of it is limited."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import Request

from core.settings import Web

Address = IPv4Address | IPv6Address


def visitor_of(request: Request, settings: Web) -> str | None:
    """The address of the visitor; None when it cannot be told.

    A proxy of `web.proxies` is asked whom it speaks for: of the addresses in its header, the last one that is no such
    proxy itself. What anybody else writes there counts for nothing (S-9.9).
    """
    peer = _address(request.client.host) if request.client else None
    if peer is not None and _is_proxy(peer, settings.proxies):
        named = ",".join(request.headers.getlist(settings.proxy_header)).split(",")
        for text in reversed(named):
            told = _address(text)
            if told is None:  # garbled: what stands before it was not written by a proxy of ours
                break
            peer = told
            if not _is_proxy(told, settings.proxies):
                break
    return str(peer) if peer is not None else None


def neighbourhoods(visitor: str | None) -> tuple[str, str]:
    """What is counted for a visitor: the address (of IPv6 its /64, which one household has), and the network around it
    (/24 or /48). Visitors without an address share one."""
    address = _address(visitor or "")
    if address is None:
        return "unknown", "unknown"
    near, far = (32, 24) if address.version == 4 else (64, 48)
    return tuple(str(ip_network((address, size), strict=False)) for size in (near, far))  # type: ignore[return-value]


def _address(text: str) -> Address | None:
    """The address in `text`: with or without port or brackets; one of IPv4 inside IPv6 is the former."""
    text = text.strip().removeprefix("[")
    host = text.partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # without a zone, which no database takes


@lru_cache(maxsize=1024)
def _is_proxy(address: Address, proxies: tuple[str, ...]) -> bool:
    return any(address in ip_network(one) for one in proxies)
