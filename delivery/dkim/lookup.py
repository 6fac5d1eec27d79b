"""Whether the DNS holds the records that verifiers need."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from core.errors import ServiceError
from delivery.dkim.keys import SigningKey
from delivery.dkim.records import record_fault

if TYPE_CHECKING:
    from dns.resolver import Resolver

_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """What the DNS has at the name of one key. `fault` None: verifiers find what they need."""

    key: SigningKey
    fault: str | None


def look_up(keys: list[SigningKey], server: str | None = None, port: int = 53) -> list[Found]:
    """What the DNS has for each key. `server`: the address of a name server; None: those of this machine.

    Raises:
        ServiceError: no name server answers, or `server` is not an address.
    """
    resolver = _resolver(server, port)
    return [Found(key, _fault(resolver, key)) for key in keys]


def _resolver(server: str | None, port: int) -> "Resolver":
    from dns.exception import DNSException
    from dns.resolver import Resolver

    try:
        resolver = Resolver(configure=server is None)
        if server is not None:
            resolver.nameservers, resolver.port = [str(ip_address(server))], port
    except (DNSException, ValueError) as error:
        raise ServiceError(f"no name server can be asked: {error}", hint="name one by its IP address") from None
    resolver.lifetime = _WAIT_S
    return resolver


def _fault(resolver: "Resolver", key: SigningKey) -> str | None:
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, LifetimeTimeout, NoAnswer

    try:
        answer = resolver.resolve(f"{key.dns_name}.", "TXT")
    except (NXDOMAIN, NoAnswer):
        return "there is no TXT record"
    except LifetimeTimeout:
        raise ServiceError(f"no name server answered within {_WAIT_S:g} s", hint="name another with --server") from None
    except DNSException as error:
        reason = str(error).partition(":")[0]  # after it comes every server that was asked
        raise ServiceError(f"{key.dns_name} cannot be looked up: {reason}", hint="try again later") from None
    texts = [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
    if len(texts) > 1:
        return f"there are several TXT records (got {len(texts)}, expected one): verifiers may take the wrong one"
    return record_fault(key, texts[0])
