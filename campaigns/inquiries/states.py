"""Where an inquiry is, and what its customer's history knows of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class InquiryState(StrEnum):
    """Where an inquiry is."""

    OPEN = "open"  #: somebody has to answer
    ANSWERED = "answered"  #: somebody did, with an outcome
    DROPPED = "dropped"  #: it needs no answer


#: Which state may follow which. A mail about an inquiry that has ended is a new one.
TRANSITIONS: Final[Mapping[InquiryState, frozenset[InquiryState]]] = {
    InquiryState.OPEN: frozenset({InquiryState.ANSWERED, InquiryState.DROPPED}),
    InquiryState.ANSWERED: frozenset(),
    InquiryState.DROPPED: frozenset(),
}
#: The activity that an inquiry is, for segments, sequences and open cases. Its property `inquiry` is the number.
RECEIVED: Final = "inquiry_received"
#: … and what its end is.
ENDED: Final[Mapping[InquiryState, str]] = {
    InquiryState.ANSWERED: "inquiry_answered",
    InquiryState.DROPPED: "inquiry_dropped",
}
#: In `given` of what acknowledges one: `mail` where it answers a mail, and says so in its header (S-2.22).
ANSWERS: Final = "answers"
