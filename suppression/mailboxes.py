"""Addresses that are no person's (role accounts, S-10.7), and those that nobody can have (reserved names, S-10.8)."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Text, case, func, literal, or_

if TYPE_CHECKING:
    from core.settings import Settings

#: Skip reasons of this module.
ROLE_ACCOUNT: Final = "role_account"
RESERVED_ADDRESS: Final = "reserved_address"

#: Names under which there is nobody, by RFC 2606 and RFC 6761; those below them as well.
RESERVED: Final = (
    "example", "test", "invalid", "localhost", "example.com", "example.net", "example.org",
)  # fmt: skip
_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")


@cache
def role_names() -> frozenset[str]:
    """The local parts of role accounts, as `role_accounts.txt` lists them: one a line."""
    lines = resources.files("suppression").joinpath("role_accounts.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """Which mailboxes get no mail. `never`: local parts that get no bulk mail."""

    never: frozenset[str] = frozenset()
    spares_reserved: bool = False

    @classmethod
    def of(cls, settings: "Settings") -> "Mailboxes":
        """The rules of the settings."""
        rules = settings.addresses
        roles = role_names() if rules.role_accounts == "skip" else frozenset[str]()
        leaves = any(urlsplit(way.url).hostname not in _THIS_MACHINE for way in settings.transports.values())
        spares = leaves if rules.reserved is None else rules.reserved == "skip"
        return cls(frozenset(name.casefold() for name in rules.never) | roles, spares)


def unfit(email: Any, rules: Mailboxes, *, is_bulk: bool) -> ColumnElement[str | None]:
    """SQL over the column of an address: `role_account` or `reserved_address` when nothing goes there, else NULL."""
    reasons: list[tuple[ColumnElement[bool], ColumnElement[str]]] = []
    if rules.spares_reserved:
        domain = func.lower(func.split_part(email, "@", 2))
        ends_in_one = or_(*(or_(domain == name, domain.endswith(f".{name}")) for name in RESERVED))
        reasons.append((ends_in_one, literal(RESERVED_ADDRESS, Text)))
    if is_bulk and rules.never:
        local = func.split_part(func.split_part(func.lower(email), "@", 1), "+", 1)
        reasons.append((local.in_(sorted(rules.never)), literal(ROLE_ACCOUNT, Text)))
    return case(*reasons) if reasons else literal(None, Text)
