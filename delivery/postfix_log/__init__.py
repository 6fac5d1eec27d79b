"""What became of messages, from the log of the Postfix they were handed to."""

from delivery.postfix_log.reading import Log, read
from delivery.postfix_log.verdicts import NEVER_TAKEN, Evidence, Verdict

__all__ = ["NEVER_TAKEN", "Evidence", "Log", "Verdict", "read"]
