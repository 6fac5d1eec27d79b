"""What goes into the pool, and what comes back about it."""

import enum
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from delivery.smtp.steps import Step


class OutcomeState(enum.StrEnum):
    """How the hand-over of one message ended."""

    #: The server took the message.
    ACCEPTED = "accepted"
    #: The server said later, or the connection broke before the end of the message: try again after a while.
    DEFERRED = "deferred"
    #: The server refused this message for good, or it cannot be sent over this transport.
    FAILED = "failed"
    #: The final dot was written and no readable answer came: the server may or may not have taken it.
    UNKNOWN = "unknown"
    #: The final dot was never written, and that is the transport's fault: no attempt is counted.
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt. `reply` is the server's words, at most 500 printable characters; without a
    server's reply `code` is None and `reply` says in our words what happened. `refused_at`: the step answered by
    a 4yz or 5yz."""

    state: OutcomeState
    code: int | None
    enhanced: str | None
    reply: str
    refused_at: Step | None = None


class Outgoing(NamedTuple):
    """One message for one recipient. `content` is in CRLF lines and not dot-stuffed; `mail_from` may be empty.

    `envelope_id` comes back in a bounce (DSN, ENVID), where the server offers that. `in_crlf` vouches for the lines
    of `content`: looking for others (S-1.16) would take as long as sending it.
    """

    id: int
    mail_from: str
    recipient: str
    content: bytes
    smtputf8: bool = False
    envelope_id: str = ""
    in_crlf: bool = False


@dataclass(frozen=True, slots=True)
class Coming:
    """In the place of a message: it is being made, by another thread, and ready when `future` is done."""

    future: Future[bytes]


#: `await hand_over(answered, handing_over)`: called before the final dot of any message in `handing_over` leaves,
#: and never while another call is under way. When it returns, the answers and the hand-over are durable; the ids
#: it returns may go, and of the others no dot is ever written.
HandOver = Callable[[Sequence[tuple[int, Outcome]], Sequence[int]], Awaitable[Collection[int]]]
