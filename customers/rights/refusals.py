"""What somebody who is erased had said no to: their consents go, so the keyed hash of the address says it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, bindparam, text
from sqlalchemy import UUID as UUID_TYPE

from core.arrays import Ids

#: Of channels that have a gate of their own (tracking, profiling) no entry would be asked for.
_WITHDRAWN: Final = text("""
    INSERT INTO suppression (address_key, channel, scope, scope_name, reason, source, evidence, created_at)
    SELECT key, channel, 'topic', topic, 'unsubscribed', :source, '{"withdrawal": true}', :now
    FROM (
        SELECT DISTINCT ON (customer_id, channel, topic) channel, topic, state
        FROM consent
        WHERE customer_id = ANY(:customers) AND state <> 'requested' AND topic <> ''
        ORDER BY customer_id, channel, topic, captured_at DESC, id DESC
    ) AS latest CROSS JOIN unnest(:keys) AS key
    WHERE state = 'withdrawn'
    GROUP BY key, channel, topic
    ORDER BY key, channel, topic
    ON CONFLICT (address_key, channel, scope, scope_name, reason) WHERE lifted_at IS NULL DO NOTHING
""").bindparams(bindparam("customers", type_=Ids), bindparam("keys", type_=ARRAY(UUID_TYPE)))


def keep_refusals(
    connection: Connection, customers: Sequence[int], keys: Sequence[UUID], *, source: str, now: datetime
) -> int:
    """Whatever one of the customers has withdrawn, and not agreed to since, is an opt-out of the addresses; how many
    entries that took.

    To be called before the consents are removed. The person themselves takes it back by agreeing anew, and confirming
    it. Repeat: safe.
    """
    given = {"customers": list(customers), "keys": list(keys), "source": source, "now": now}
    return connection.execute(_WITHDRAWN, given).rowcount if customers and keys else 0
