"""What comes back from receivers, providers and people, and all that follows from it.

`take` is the one way in, for mail and for webhooks. The parts: `receiver` holds what decides, `matching` finds whose
message is meant, `records` keeps every event once, `moving` changes the ledger, `addresses` decides about addresses,
`answering` passes replies on to people, `complaints` watches the share of complaints, `taking` puts them together.
"""

from campaigns.feedback.receiver import Receiver
from campaigns.feedback.taking import Effect, catch_up, take

__all__ = ["Effect", "Receiver", "catch_up", "take"]
