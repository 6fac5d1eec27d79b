"""Addresses whose domain looks mistyped, with what may have been meant: only suggestions (S-10.9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from sqlalchemy import Connection, text

from core.addresses import masked

_DOMAINS: Final = text("SELECT split_part(email, '@', 2) AS domain, count(*) AS heads FROM customer GROUP BY 1")
_CUSTOMERS: Final = text("""
    SELECT external_id, email FROM customer WHERE split_part(email, '@', 2) = ANY(:domains) ORDER BY id LIMIT :most
""")
#: A domain that so many customers have is no slip of the pen.
_TOO_MANY: Final = 20


@dataclass(frozen=True, slots=True)
class Typo:
    """A customer whose address may be meant otherwise; both are masked."""

    customer: str
    email: str
    meant: str


@cache
def common_domains() -> tuple[str, ...]:
    """The domains that many people have their mailbox at, as `mailbox_domains.txt` lists them: one a line."""
    lines = resources.files("customers").joinpath("mailbox_domains.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def mistyped(connection: Connection, *, most: int = 100) -> list[Typo]:
    """The customers whose address's domain is one slip away from a common one, those known longest first."""
    typos = wrong_domains(connection)
    rows = connection.execute(_CUSTOMERS, {"domains": list(typos), "most": most})
    return [
        Typo(row.external_id, masked(row.email), masked(f"{local}@{typos[domain]}"))
        for row in rows
        for local, _, domain in (row.email.rpartition("@"),)
    ]


def wrong_domains(connection: Connection) -> Mapping[str, str]:
    """Domain of some customers → the common domain it is one slip away from."""
    common = set(common_domains())
    seen = [row.domain for row in connection.execute(_DOMAINS) if row.domain and row.heads < _TOO_MANY]
    return {domain: meant for domain in seen if domain not in common and (meant := intended(domain, common))}


def intended(domain: str, common: Iterable[str]) -> str | None:
    """The one of `common` domains from which one slip leads to `domain`; None when there is none, or it is one."""
    known = common if isinstance(common, set) else set(common)
    if domain in known or len(domain) < _SHORTEST:
        return None
    return min((near for near in known if _is_one_slip(domain, near)), default=None)


#: Of two short domains one slip apart both are usually meant.
_SHORTEST: Final = 6


def _is_one_slip(written: str, meant: str) -> bool:
    """A character is missing, too many, another one, or two have changed places."""
    if abs(len(written) - len(meant)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(written, meant, strict=False)) if a != b), None)
    if start is None:
        return len(written) != len(meant)
    one, other = written[start:], meant[start:]
    swapped = len(one) == len(other) > 1 and one[:2] == other[1::-1] and one[2:] == other[2:]
    return swapped or one[1:] == other or one == other[1:] or one[1:] == other[1:]
