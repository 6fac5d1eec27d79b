"""What a plan speaks of beside mailings: things that are pinned, reviewed and applied the same way, each in its own.

Every kind of them is one entry of `campaigns.kinds.KINDS`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from campaigns.catalogue import Catalogue


class Planned(Protocol):
    """What applying would do with one of them."""

    @property
    def name(self) -> str:
        """As people type it."""

    @property
    def is_pending(self) -> bool:
        """Applying would do something."""

    @property
    def would_send(self) -> int:
        """How many messages applying orders at once: what a person agrees to."""

    @property
    def cancelled_at(self) -> datetime | None:
        """It was cancelled then, and applying would start it anew; None: it was not."""

    def document(self) -> dict[str, Any]:
        """Its entry under `campaigns` of `plan --json`: name, audience, would_send, skipped and more."""

    def changes(self) -> list[dict[str, Any]]:
        """Its entries under `changes` of `plan --json`; each has `campaign` and `change`."""

    def reviewed(self) -> dict[str, Any]:
        """Its entry in a plan file: what applying compares with what is so by then."""

    def lines(self) -> Iterator[str]:
        """What is told on screen under its name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of things.

    `names`: those there are, in the files or only in the database any more. `plan` writes nothing. `apply` does what
    the entries of a plan file say and tells what it did, a row each with `campaign`; it raises StalePlan where files or
    people changed since, and runs within the transaction it is given.
    """

    name: str
    names: Callable[[Connection, Catalogue], Collection[str]]
    plan: Callable[[Connection, Catalogue, str, datetime], Planned]
    apply: Callable[[Connection, Catalogue, Sequence[Mapping[str, Any]], datetime, str], list[dict[str, Any]]]
