"""How long a message that was put off waits for its next attempt (S-1.29)."""

from datetime import timedelta
from functools import cache
from typing import Final

from core.refusal_settings import Refusals
from suppression.gate import TRANSACTIONAL

_FIRST: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60, 120, 240, 480, 720))
#: Somebody waits for a transactional message: a server that was restarting is asked again sooner.
_FIRST_SOONER: Final = (timedelta(seconds=30), timedelta(minutes=2), *_FIRST)


@cache
def retry_waits(message_class: str, lifetime: timedelta) -> tuple[timedelta, ...]:
    """The waits between attempts, growing, that fit into `lifetime`; the last one is repeated. At least one."""
    waits = list(_FIRST_SOONER if message_class == TRANSACTIONAL else _FIRST)
    while sum(waits, waits[-1]) <= lifetime:
        waits.append(waits[-1])
    while len(waits) > 1 and sum(waits, timedelta(0)) > lifetime:
        waits.pop()
    return tuple(waits)


#: Of bulk messages, unless the settings say otherwise.
RETRY_WAITS: Final = retry_waits("bulk", Refusals().give_up_after)
