"""What the parts ask of each other: a session of its link and its desk, the desk of its crew."""

from typing import TYPE_CHECKING, Protocol

from delivery.smtp.denials import Denials
from delivery.smtp.envelope import Envelope
from delivery.smtp.faults import TransportFault, Trouble
from delivery.smtp.features import Features
from delivery.smtp.messages import Outcome

if TYPE_CHECKING:
    from delivery.smtp.session import Session


class Link(Protocol):
    """The connection under a session."""

    def write(self, octets: bytes) -> None: ...

    def write_message(self, lines: bytes, end: bytes) -> None:
        """`lines`, then `end`, which begins with the final dot."""
        ...

    def fail(self, trouble: Trouble) -> None:
        """The connection is given up; the session hears of it through `Session.broken`."""
        ...

    def close(self) -> None:
        """The connection is closed; nothing is under way on it."""
        ...

    @property
    def is_dot_held_back(self) -> bool:
        """Whether the end of the last message still waits for its lines to leave."""
        ...

    @property
    def is_worn_out(self) -> bool:
        """Whether the connection should be replaced, for its age or for the messages it carried."""
        ...

    def message_answered(self) -> None:
        """One more message was answered on this connection."""
        ...


class Desk(Protocol):
    """Whoever hands out messages and hears what became of them."""

    def take(self, features: Features) -> Envelope | None:
        """The next message that a server with these features can be given."""
        ...

    def ready(self, session: "Session") -> None:
        """The server waits for the content of `session.current`."""
        ...

    def answered(self, envelope: Envelope, outcome: Outcome) -> None: ...

    def stranded(self, session: "Session", envelope: Envelope, trouble: Trouble, *, is_innocent: bool) -> None:
        """The connection broke with `envelope` under way, before its final dot.

        `is_innocent`: it cannot have been the cause, for nothing of it had come up for an answer.
        """
        ...

    def denied(self, envelope: Envelope, refusal: Outcome, fault: TransportFault) -> None:
        """The server says to the recipient that it does not relay: `refusal` if it is alone, else `fault`."""
        ...

    def faulty(self, fault: TransportFault, envelope: Envelope) -> None:
        """The server refuses this client as such, said when `envelope` was offered."""
        ...

    def idle(self, session: "Session") -> None:
        """There was no message to take."""
        ...

    def gone(self, session: "Session") -> None:
        """The session's connection is closed."""
        ...


class Crew(Protocol):
    """Whoever keeps the connections; `denials` are the server's, from delivery to delivery."""

    @property
    def denials(self) -> Denials: ...

    def open_more(self, count: int) -> None:
        """Up to `count` connections more could be used; if there can be none, `Dispatch.stop` is called."""
        ...

    def is_elsewhere_possible(self, session: "Session") -> bool:
        """Whether the server has another address than the session's that did not fail lately."""
        ...

    def known_features(self) -> Features | None:
        """What the server offered to the latest connection, unless that is long ago."""
        ...

    def gone(self, session: "Session") -> None:
        """The session's connection is closed, for the reason in `session.broken_by`."""
        ...
