"""What the five kinds of import share: the facts they work with, and the shape of their work."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from core.addresses import parse_address
from core.errors import AddressError
from core.ids import address_key
from core.settings import Settings
from customers.importing.fields import Columns, Fields
from customers.importing.values import Formats, Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class NewCustomers:
    """What becomes of purchases of customers nobody knows: they are created when `wanted`, with an address made
    from `email_pattern` (`c{customer}@customers.example`) when the file has none."""

    wanted: bool = False
    email_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file that is being imported, and the workspace it goes to."""

    file_name: str
    columns: Columns
    header: tuple[str, ...]
    settings: Settings
    secret: bytes
    now: datetime
    formats: Formats
    new_customers: NewCustomers = NewCustomers()

    @property
    def label(self) -> str:
        """The source that consents and activities name when their row names none."""
        return f"import:{self.file_name}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the staged rows; the others were unchanged. `rejected` is row number → reason."""

    created: int
    updated: int = 0
    rejected: Mapping[int, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Importer(ABC):
    """One kind of import, for one file."""

    fields: ClassVar[Fields]
    #: Column → type of the temporary table `staged`; every kind has `row`, the number in the file.
    stage: ClassVar[Mapping[str, str]]
    #: The tables whose statistics are made fresh afterwards.
    fills: ClassVar[tuple[str, ...]]
    changes_metrics: ClassVar[bool] = True
    #: Columns that are no field are kept (as attributes or properties).
    keeps_attributes: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        """Ready to read rows.

        Raises:
            ImportFailed: a column that is needed is not there.
        """
        self.source = source

    @abstractmethod
    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        """The row as `staged` holds it.

        Raises:
            Rejected: the row cannot be imported.
        """

    @abstractmethod
    def load(self, connection: "Connection") -> Loaded:
        """`staged` is carried over. Repeat: safe."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the key it is found by."""

    email: str
    comparable: str
    key: UUID
    smtputf8: bool


def read_mailbox(text: str, secret: bytes) -> Mailbox:
    """The mailbox of a cell.

    Raises:
        Rejected: it is not an address.
    """
    try:
        address = parse_address(text)
    except AddressError as error:
        raise Rejected(f"{error.message} (got {text!r})") from None
    return Mailbox(address.email, address.comparable, address_key(secret, address.comparable), address.smtputf8)
