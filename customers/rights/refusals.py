"""What somebody who is erased had said no to: their consents go, so the keyed hash of the address says it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, bindparam, text
from sqlalchemy import UUID as UUID_TYPE

from core.arrays import Ids
from core.latest_word import newest_first
from customers.entries import record_entries

#: Of channels that have a gate of their own (tracking, profiling) no entry would be asked for.
_WITHDRAWN: Final = text(f"""
    CREATE TEMP TABLE entry ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY key, channel, topic) AS row, key AS address_key, channel, 'topic' AS scope,
           topic AS scope_name, 'unsubscribed' AS reason, CAST(:source AS text) AS source,
           jsonb_build_object('withdrawal', true) AS evidence, CAST(:now AS timestamptz) AS created_at,
           CAST(NULL AS timestamptz) AS expires_at
    FROM (
        SELECT DISTINCT ON (customer_id, channel, topic) channel, topic, state
        FROM consent
        WHERE customer_id = ANY(:customers) AND state <> 'requested' AND topic <> ''
        ORDER BY customer_id, channel, topic, {newest_first()}
    ) AS latest CROSS JOIN unnest(:keys) AS key
    WHERE state = 'withdrawn'
    GROUP BY key, channel, topic
""").bindparams(bindparam("customers", type_=Ids), bindparam("keys", type_=ARRAY(UUID_TYPE)))  # noqa: S608  our own


def keep_refusals(
    connection: Connection, customers: Sequence[int], keys: Sequence[UUID], *, source: str, now: datetime
) -> int:
    """Whatever one of the customers has withdrawn, and not agreed to since, is an opt-out of the addresses; how many
    entries that took.

    To be called before the consents are removed. The person themselves takes it back by agreeing anew, and confirming
    it. Repeat: safe.
    """
    if not customers or not keys:
        return 0
    given = {"customers": list(customers), "keys": list(keys), "source": source, "now": now}
    connection.execute(text("DROP TABLE IF EXISTS entry"))
    connection.execute(_WITHDRAWN, given)
    return record_entries(connection, now=now)
