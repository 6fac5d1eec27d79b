"""What a worker knows of a batch on its way, from the claim to the close."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from campaigns import batches
from campaigns.ledger import Claim
from campaigns.trip import Trip
from delivery.smtp import OutcomeState, TransportFault


@dataclass(slots=True)
class Journey:
    """One claim on its way; whoever closes its batch finds here what became of it."""

    held: Claim
    gone: list[int] = field(default_factory=list)  # messages without a customer, or whose customer moved away
    transport: str = ""
    chosen_at: datetime | None = None  # by the database's clock
    trip: Trip | None = None
    fault: str | None = "a bug: the worker's log has its traceback"
    transport_fault: TransportFault | None = None
    pause: timedelta = batches.FAULT_PAUSE

    @property
    def refused(self) -> list[int]:
        """The messages that got another answer than accepted."""
        answers = self.trip.answers if self.trip is not None else []
        return [message_id for message_id, outcome in answers if outcome.state is not OutcomeState.ACCEPTED]
