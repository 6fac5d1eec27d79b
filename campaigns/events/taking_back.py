"""Mails that were ordered and have not gone yet: taken back where what they say is not so any more."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns import ledger

#: Batches are locked first, as claims do: what a worker has in hands is on its way, and stays. A reminder that is
#: joined to that of another event is among that event's mails.
_WAITING: Final = text("""
    WITH theirs AS (
        SELECT m.id, m.run_id, m.step, m.given FROM registration AS r
        JOIN message AS m ON m.customer_id = r.customer_id
        WHERE r.id = ANY(:ids) AND m.state IN ('planned', 'deferred') AND m.campaign LIKE 'event:%'
          AND m.given -> 'registrations' @> to_jsonb(r.id)
    ), held AS MATERIALIZED (
        SELECT b.id, b.message_ids FROM batch AS b
        WHERE b.run_id IN (SELECT run_id FROM theirs) AND b.state = 'ready'
          AND b.message_ids && ARRAY(SELECT id FROM theirs)
        ORDER BY b.id FOR NO KEY UPDATE OF b
    )
    SELECT DISTINCT theirs.id, theirs.step, theirs.given -> 'registrations' AS registrations
    FROM theirs JOIN held ON theirs.id = ANY(held.message_ids)
""").bindparams(bindparam("ids", type_=ARRAY(BigInteger)))
_SKIPPED: Final = text("SELECT id FROM message WHERE id = ANY(:ids) AND state = 'skipped'").bindparams(
    bindparam("ids", type_=ARRAY(BigInteger))
)


def take_back(
    connection: Connection, ids: Iterable[int], now: datetime, *, but: Iterable[str] = ()
) -> frozenset[tuple[int, str]]:
    """No mail to these registrations waits any more, but for those of the steps `but`; also none that a server put off.

    The registration and step of each that was taken back are returned: its reader never heard that. One that may have
    arrived is not among them. Repeat: safe.
    """
    kept = frozenset(but)
    rows = connection.execute(_WAITING, {"ids": list(ids)}).all()
    back = [row for row in rows if row.step not in kept]
    ledger.skip(connection, [row.id for row in back], "superseded", now)
    skipped = set(connection.execute(_SKIPPED, {"ids": [row.id for row in back]}).scalars())
    return frozenset((number, row.step) for row in back if row.id in skipped for number in row.registrations)
