"""Every kind of things that a plan speaks of beside mailings, in the order in which they are told and applied."""

from typing import Final

from campaigns.events import applying as events_applying
from campaigns.events import planning as events
from campaigns.events.definition import KIND as EVENT
from campaigns.planned import Kind
from campaigns.sequences import applying as sequences_applying
from campaigns.sequences import planning as sequences
from campaigns.sequences.definition import KIND as SEQUENCE

_SEQUENCES: Final = Kind(SEQUENCE, sequences.names, sequences.plan, sequences_applying.apply)
_EVENTS: Final = Kind(EVENT, events.names, events.plan, events_applying.apply)
KINDS: Final[tuple[Kind, ...]] = (_SEQUENCES, _EVENTS)
