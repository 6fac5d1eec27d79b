"""People who were erased are not imported again, however they are spelled: their rows are rejected with that reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from core.ids import keyed_hash
from customers.importing.importer import Importer
from customers.importing.values import Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection

REASON: Final = "erased on request: `clarion customer readmit` takes them again"
#: Where a staged row says whom it is about: the external id (or what stands for it), and the key of the address.
_WHO: Final = (("external_id", "address_key"), ("who", "who_key"))


@dataclass(frozen=True, slots=True)
class Refused:
    """The people an import of this kind does not take. `name` and `key` are the places of both in a staged row."""

    secret: bytes
    names: frozenset[UUID]
    keys: frozenset[str]
    name: int = 0
    key: int = 0

    @classmethod
    def of(cls, connection: "Connection", importer: Importer) -> "Refused":
        """Those who were erased and did not come back; nobody for a kind of import that makes no customers."""
        from sqlalchemy import select

        from core.schema import erasure

        columns = list(importer.stage)
        places = [(columns.index(name), columns.index(key)) for name, key in _WHO if name in columns and key in columns]
        if not places:
            return cls(importer.source.secret, frozenset(), frozenset())
        erased = select(erasure.c.external_key, erasure.c.address_key).where(erasure.c.readmitted_at.is_(None))
        rows = connection.execute(erased).all()
        return cls(
            importer.source.secret,
            frozenset(row.external_key for row in rows),
            frozenset(str(row.address_key) for row in rows if row.address_key),
            *places[0],
        )

    def checked(self, staged: Sequence[Any]) -> Sequence[Any]:
        """The row as it is.

        Raises:
            Rejected: it is about somebody who was erased.
        """
        if self.names and self._is_about_erased(staged[self.name], staged[self.key]):
            raise Rejected(REASON)
        return staged

    def _is_about_erased(self, name: str | None, key: object) -> bool:
        if key is not None and str(key) in self.keys:
            return True
        return name is not None and external_key(self.secret, name) in self.names


def external_key(secret: bytes, external_id: str) -> UUID:
    """What is kept of the external id of somebody who was erased."""
    return UUID(bytes=keyed_hash(secret, "external-id", external_id.encode()))
