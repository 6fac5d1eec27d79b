"""Who was erased, kept outside the database too: a database that was restored from a backup is brought up to date.

The file holds keyed hashes and instants, one JSON object a line. It only grows: what a restored database has forgotten
stays in it.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, insert, select

from core.errors import EngineError
from core.schema import customer, erasure
from customers.importing.refused import external_key
from customers.rights.erase import erase, erase_address, forbid
from customers.rights.subject import Circle, subject_of_keys

FILE: Final = "erasures.jsonl"
REPLAY: Final = "replay"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One line: what is left of somebody who was erased."""

    external_key: UUID
    address_key: UUID | None
    person: UUID
    erased_at: datetime
    source: str
    readmitted_at: datetime | None = None

    @property
    def identity(self) -> tuple[UUID, UUID | None, UUID]:
        return self.external_key, self.address_key, self.person

    def line(self) -> str:
        """As it stands in the file."""
        values = {
            "external_key": str(self.external_key),
            "address_key": str(self.address_key) if self.address_key else None,
            "person": str(self.person),
            "erased_at": self.erased_at.isoformat(),
            "source": self.source,
            "readmitted_at": self.readmitted_at.isoformat() if self.readmitted_at else None,
        }
        return json.dumps(values) + "\n"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    tombstones: int  # in the file and the database together
    restored: int  # of them, the database had forgotten
    customers: int  # erased again


def keep(connection: Connection, path: Path) -> int:
    """The file holds every erasure the database knows, and those it held before; how many lines it has.

    Atomic: yes, the file is replaced. Repeat: safe.
    """
    known = {stone.identity: stone for stone in (read(path) if path.exists() else ())}
    known |= {stone.identity: stone for stone in _stored(connection)}
    lines = "".join(stone.line() for stone in sorted(known.values(), key=lambda stone: stone.erased_at))
    if path.exists() and path.read_text(encoding="utf-8") == lines:
        return len(known)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(lines, encoding="utf-8")
    draft.replace(path)
    return len(known)


def read(path: Path) -> list[Tombstone]:
    """The erasures of a file.

    Raises:
        EngineError: it cannot be read, or is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror or error}") from None
    return [_tombstone(line, f"{path.name}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def _tombstone(line: str, where: str) -> Tombstone:
    try:
        values = json.loads(line)
        address, back = values["address_key"], values.get("readmitted_at")
        return Tombstone(
            UUID(values["external_key"]), UUID(address) if address else None,
            UUID(values["person"]),
            datetime.fromisoformat(values["erased_at"]), str(values["source"]),
            datetime.fromisoformat(back) if back else None,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EngineError("not an erasure (expected a line that `clarion customer erase` wrote)", where=where) from None


def replay(
    connection: Connection, secret: bytes, stones: Iterable[Tombstone], *, now: datetime, actor: str
) -> Replayed:
    """Everybody who was ever erased is erased in this database too, but for who came back since.

    `stones`: those of a file, beside those of the database. Repeat: safe. Call it first in its transaction.
    """
    stored = {stone.identity: stone for stone in _stored(connection)}
    forgotten = {stone.identity: stone for stone in stones if stone.identity not in stored}
    if forgotten:
        connection.execute(insert(erasure), [_row(stone) for stone in forgotten.values()])
    everyone = list((stored | forgotten).values())
    count = 0
    for customer_id in _still_there(connection, secret, everyone):
        # Alone: whoever else was erased with them is found by a tombstone of their own.
        erased = erase(connection, secret, customer_id, circle=Circle.ALONE, source=REPLAY, now=now, actor=actor)
        count += erased.customers
    absent = sorted({stone.address_key for stone in everyone if stone.address_key and not stone.readmitted_at}, key=str)
    forbid(connection, absent, now=now, source=REPLAY)
    erase_address(connection, subject_of_keys(connection, absent), now=now)
    return Replayed(len(everyone), len(forgotten), count)


def _row(stone: Tombstone) -> dict[str, Any]:
    return {
        name: getattr(stone, name)
        for name in ("external_key", "address_key", "person", "erased_at", "source", "readmitted_at")
    }


def _stored(connection: Connection) -> Iterator[Tombstone]:
    columns = (erasure.c.external_key, erasure.c.address_key, erasure.c.person, erasure.c.erased_at, erasure.c.source)
    query = select(*columns, erasure.c.readmitted_at).order_by(erasure.c.id)
    return (Tombstone(*row) for row in connection.execute(query).all())


def _still_there(connection: Connection, secret: bytes, stones: list[Tombstone]) -> list[int]:
    """Customers who were erased and are in the database again. One made after the erasure, and readmitted, stays."""
    by_key: dict[UUID, list[Tombstone]] = {}
    for stone in stones:
        for key in (stone.external_key, stone.address_key):
            if key is not None:
                by_key.setdefault(key, []).append(stone)
    if not by_key:
        return []
    columns = select(customer.c.id, customer.c.external_id, customer.c.address_key, customer.c.created_at)
    found = []
    for row in connection.execute(columns.order_by(customer.c.id)).all():
        named = by_key.get(external_key(secret, row.external_id), []) + by_key.get(row.address_key, [])
        if any(stone.readmitted_at is None or row.created_at < stone.erased_at for stone in named):
            found.append(row.id)
    return found
