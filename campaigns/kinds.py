"""Every kind of things that a plan speaks of beside mailings, in the order in which they are told and applied."""

from typing import Final

from campaigns.events import applying, planning
from campaigns.planned import Kind

_EVENTS: Final = Kind(planning.KIND, planning.names, planning.plan, applying.apply)
KINDS: Final[tuple[Kind, ...]] = (_EVENTS,)
