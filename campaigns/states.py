"""The states of a message, and which may follow which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a message is on its way. One whose batch is claimed by a worker is still planned, or deferred."""

    PLANNED = "planned"  #: waits for its time and a worker; nothing was written to a server
    HANDED_OVER = "handed_over"  #: committed before the final dot was written
    ACCEPTED = "accepted"  #: the transport took it
    DEFERRED = "deferred"  #: the server said later; waits for its next attempt
    FAILED = "failed"  #: refused for good
    UNKNOWN = "unknown"  #: the final dot may have been written, no answer was read
    SKIPPED = "skipped"  #: never meant to be sent, for the reason in skip_reason
    DELIVERED = "delivered"  #: the receiving server reported it
    BOUNCED = "bounced"  #: came back after it was accepted
    COMPLAINED = "complained"  #: reported as spam after it was accepted


#: Which state may follow which. Everything that changes `message.state` is in this room and tested against it.
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # An envelope may be refused before anything of its message was handed over. Its worker may know more of a message
    # than a database that failed over.
    State.PLANNED: frozenset(
        {State.HANDED_OVER, State.ACCEPTED, State.DEFERRED, State.FAILED, State.UNKNOWN, State.SKIPPED}
    ),
    State.HANDED_OVER: frozenset({State.ACCEPTED, State.DEFERRED, State.FAILED, State.UNKNOWN, State.PLANNED}),
    # A transactional message in doubt is deferred: its answer may come late, or never however often it is sent.
    State.DEFERRED: frozenset({State.HANDED_OVER, State.FAILED, State.SKIPPED, State.ACCEPTED, State.UNKNOWN}),
    # Planned again when it is proved that the server never had it: `clarion reconcile`.
    State.UNKNOWN: frozenset(
        {State.ACCEPTED, State.FAILED, State.PLANNED, State.DELIVERED, State.BOUNCED, State.COMPLAINED}
    ),
    State.ACCEPTED: frozenset({State.DELIVERED, State.BOUNCED, State.COMPLAINED}),
    State.DELIVERED: frozenset({State.BOUNCED, State.COMPLAINED}),
    State.FAILED: frozenset({State.PLANNED}),  # by `clarion retry`
    State.SKIPPED: frozenset(),
    State.BOUNCED: frozenset({State.COMPLAINED}),
    State.COMPLAINED: frozenset(),
}
#: States in which a message still has something ahead of it: a run with one of them is not finished.
OPEN: Final = (State.PLANNED, State.HANDED_OVER, State.DEFERRED)
#: States from which a message may be handed over.
WAITING: Final = (State.PLANNED, State.DEFERRED)
