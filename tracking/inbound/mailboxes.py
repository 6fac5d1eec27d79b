"""What mailboxes have in common: mails are looked at, and forgotten only when somebody else says so."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from tracking.inbound.storage import Arrived


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail in a mailbox. `key` names it there, as long as the mailbox is open."""

    key: str
    mail: Arrived


class OpenMailbox(Protocol):
    """A mailbox while it is looked into."""

    def mails(self) -> Iterator[Fetched]:
        """The mails that were not looked at yet, some hundred at most, the oldest first; they stay where they are.

        Raises:
            ServiceError: the mailbox cannot be read.
        """
        ...

    def forget(self, fetched: Fetched) -> None:
        """The mail is not among `mails` any more: deleted, or kept as seen. One too large to be read is kept, flagged.

        Repeat: safe.

        Raises:
            ServiceError: the mailbox cannot be changed.
        """
        ...


class Mailbox(Protocol):
    """Where mails are fetched from."""

    @property
    def name(self) -> str:
        """As clarion.yaml names it."""
        ...

    def opened(self) -> AbstractContextManager[OpenMailbox]:
        """The mailbox, open until the block ends.

        Raises:
            ServiceError: it cannot be opened.
        """
        ...
