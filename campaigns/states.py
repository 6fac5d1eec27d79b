"""The states of a message, and which may follow which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a message is on its way."""

    PLANNED = "planned"  #: waits for its time and a worker
    CLAIMED = "claimed"  #: in a worker's hands, nothing written to a server yet
    HANDED_OVER = "handed_over"  #: committed before the final dot was written
    ACCEPTED = "accepted"  #: the transport took it
    DEFERRED = "deferred"  #: the server said later; waits for its next attempt
    FAILED = "failed"  #: refused for good
    UNKNOWN = "unknown"  #: the final dot may have been written, no answer was read
    SKIPPED = "skipped"  #: never meant to be sent, for the reason in skip_reason
    DELIVERED = "delivered"  #: the receiving server reported it
    BOUNCED = "bounced"  #: came back after it was accepted
    COMPLAINED = "complained"  #: reported as spam after it was accepted


#: Which state may follow which. Everything that changes `message.state` is in this file or tested against it.
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.PLANNED: frozenset({State.CLAIMED, State.SKIPPED}),
    State.CLAIMED: frozenset({State.HANDED_OVER, State.PLANNED, State.DEFERRED, State.FAILED, State.SKIPPED}),
    State.HANDED_OVER: frozenset({State.ACCEPTED, State.DEFERRED, State.FAILED, State.UNKNOWN}),
    State.DEFERRED: frozenset({State.CLAIMED, State.SKIPPED, State.FAILED}),
    State.UNKNOWN: frozenset({State.ACCEPTED, State.FAILED, State.DELIVERED, State.BOUNCED, State.COMPLAINED}),
    State.ACCEPTED: frozenset({State.DELIVERED, State.BOUNCED, State.COMPLAINED}),
    State.DELIVERED: frozenset({State.BOUNCED, State.COMPLAINED}),
    State.FAILED: frozenset(),
    State.SKIPPED: frozenset(),
    State.BOUNCED: frozenset({State.COMPLAINED}),
    State.COMPLAINED: frozenset(),
}
#: States in which a message still has something ahead of it: a run with one of them is not finished.
OPEN: Final = (State.PLANNED, State.CLAIMED, State.HANDED_OVER, State.DEFERRED)
