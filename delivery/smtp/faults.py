"""Why a transport, or one connection of it, cannot be used."""

import enum
from dataclasses import dataclass

from core.errors import TransportError
from delivery.smtp.replies import Reply
from delivery.smtp.steps import Step


class TransportFault(TransportError):
    """The transport is at fault: no person's message failed, and the run should pause.

    `temporary` says that the same settings may work later (refused connection, 4xx); otherwise somebody must
    mend them (AUTH, certificate, relaying denied).
    """

    def __init__(self, message: str, *, temporary: bool, hint: str = "", where: str = "") -> None:
        super().__init__(message, hint=hint, where=where)
        self.temporary = temporary


class TroubleKind(enum.Enum):
    """What ended a connection that had been opened well."""

    #: The connection was closed or reset by the other side.
    LOST = enum.auto()
    #: This end closed it, in order.
    CLOSED = enum.auto()
    #: The server announced that it closes the connection: 421.
    CLOSING = enum.auto()
    #: A reply did not come within its time.
    TIMEOUT = enum.auto()
    #: A reply could not be understood or came when none was due.
    GARBLED = enum.auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """The end of one connection; `reply` is the server's, if it said one, in answer to `step`."""

    kind: TroubleKind
    text: str
    reply: Reply | None = None
    step: Step | None = None
