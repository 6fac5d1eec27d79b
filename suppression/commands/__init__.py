"""`clarion suppress` and `clarion consent`: who may not be written to, and who agreed to what."""

from suppression.commands.consenting import consent
from suppression.commands.suppressing import REASONS, suppress

__all__ = ["REASONS", "consent", "suppress"]
