"""Messages of who left a sequence: those that still wait are not sent any more."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, text

from campaigns import ledger
from core.arrays import Ids

LEFT: Final = "left_sequence"
#: What a worker has in its hands at this instant is on its way.
_WAITING: Final = text("""
    SELECT m.id FROM enrolment_step AS s JOIN message AS m ON m.id = s.message_id
    WHERE s.enrolment_id = ANY(:ids) AND m.state IN ('planned', 'deferred')
    ORDER BY m.id FOR NO KEY UPDATE OF m SKIP LOCKED
""").bindparams(bindparam("ids", type_=Ids))


def call_back(connection: Connection, enrolment_ids: Sequence[int], now: datetime) -> None:
    """Messages that these passages made, and that a cap, quiet hours or a queue held until now, are skipped.

    Workers skip what is no longer planned when they hand over. Repeat: safe.
    """
    if enrolment_ids:
        waiting = connection.execute(_WAITING, {"ids": list(enrolment_ids)}).scalars()
        ledger.skip(connection, list(waiting), LEFT, now)
