"""Who names customers and who takes customers away wait for each other, so that nothing is left naming nobody.

A merged or erased customer's row is deleted. A statement that chose it a moment before would then fail on its foreign
key: with it a whole audience, or an opt-out. The lock is PostgreSQL's, held until the transaction ends.

Who takes customers away never queues for it: PostgreSQL lets nobody past a queue, so that opt-outs would wait behind a
merge that waits for an import of minutes.
"""

from datetime import timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from core import advisory
from core.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK: Final = 0x50454F50
#: How long an import or a freeze under way is waited for.
PATIENCE: Final = timedelta(minutes=2)
_PAUSE: Final = 0.02  # seconds


def people_stay(connection: "Connection") -> None:
    """Until the transaction ends no customer is taken away; any number of transactions may ask for that at once.

    Called before customers are chosen, by whoever inserts rows that name many of them, or that must not be lost. Waits
    for a merge or an erasure under way alone, which is a matter of milliseconds.
    """
    advisory.share(connection, _LOCK)


def people_go(connection: "Connection", patience: timedelta = PATIENCE) -> None:
    """Customers may be taken away: those who need them to stay wait until the transaction ends.

    Those who needed it before are waited for; whoever asks for it meanwhile goes first.

    Raises:
        ServiceError: after `patience` somebody still needs them.
    """
    until = monotonic() + patience.total_seconds()
    while not advisory.tried(connection, _LOCK):
        if monotonic() >= until:
            raise ServiceError(
                "an import, or another job that needs all customers, is under way", hint="try again later"
            )
        sleep(_PAUSE)
