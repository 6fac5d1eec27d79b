"""Every kind of things that a plan speaks of beside mailings, in the order in which they are told and applied."""

from typing import Final

from campaigns.planned import Kind

KINDS: Final[tuple[Kind, ...]] = ()
