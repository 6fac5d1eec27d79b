"""Entries that receiving servers' refusals make, and their lifting when a whole domain turns out to have been at fault.

Writes the table suppression. An entry is for the channel: the address does not exist, so no e-mail can reach it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, DateTime, bindparam, text
from sqlalchemy import UUID as UUID_TYPE
from sqlalchemy.dialects.postgresql import JSONB, insert

from core.schema import suppression

REASON: Final = "hard_bounce"
SOURCE: Final = "smtp"


@dataclass(frozen=True, slots=True)
class Refused:
    """An address that servers have refused for good, or again and again. `evidence` names the message and domain."""

    key: UUID
    evidence: Mapping[str, Any]
    expires_at: datetime | None = None  # None: for good


#: An entry that has expired, or would end sooner, makes room for the new one.
_CLOSE_SHORTER: Final = text("""
    WITH shorter AS MATERIALIZED (
        SELECT s.id FROM suppression AS s JOIN unnest(:keys, :ends) AS r(key, ends_at) ON s.address_key = r.key
        WHERE s.channel = 'email' AND s.scope = 'channel' AND s.scope_name = ''
          AND s.reason = 'hard_bounce' AND s.lifted_at IS NULL AND s.expires_at IS NOT NULL
          AND (r.ends_at IS NULL OR s.expires_at <= :now OR s.expires_at < r.ends_at)
        ORDER BY s.address_key, s.id FOR UPDATE OF s
    )
    UPDATE suppression AS s SET lifted_at = :now, lifted_because = 'replaced by a later entry'
    FROM shorter WHERE s.id = shorter.id
""").bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)), bindparam("ends", type_=ARRAY(DateTime(timezone=True))))


def suppress_refused(connection: Connection, refused: Sequence[Refused], now: datetime) -> int:
    """No e-mail goes to these addresses any more; how many were not suppressed for it before is returned.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    if not refused:
        return 0
    # One entry an address, and in one order, so that two workers never wait for each other.
    listed = sorted({entry.key: entry for entry in refused}.values(), key=lambda entry: entry.key)
    given = {"keys": [entry.key for entry in listed], "ends": [entry.expires_at for entry in listed], "now": now}
    connection.execute(_CLOSE_SHORTER, given)
    active = ["address_key", "channel", "scope", "scope_name", "reason"]
    rows = [
        {"address_key": entry.key, "scope": "channel", "reason": REASON, "source": SOURCE, "created_at": now,
         "evidence": dict(entry.evidence), "expires_at": entry.expires_at}
        for entry in listed
    ]  # fmt: skip
    written = insert(suppression).values(rows).on_conflict_do_nothing(
        index_elements=active, index_where=suppression.c.lifted_at.is_(None)
    )  # fmt: skip
    return len(connection.execute(written.returning(suppression.c.id)).all())


#: Locked in the order in which entries are made and closed.
_LIFT: Final = text("""
    WITH mistaken AS MATERIALIZED (
        SELECT id FROM suppression
        WHERE source = 'smtp' AND reason = 'hard_bounce' AND lifted_at IS NULL AND created_at > :since
          AND evidence @> :of_domain
        ORDER BY address_key, id FOR UPDATE
    )
    UPDATE suppression AS s SET lifted_at = :now, lifted_because = :because
    FROM mistaken WHERE s.id = mistaken.id
    RETURNING CAST(evidence ->> 'message' AS bigint)
""").bindparams(bindparam("of_domain", type_=JSONB))


def lift_refused(connection: Connection, domain: str, *, since: datetime, because: str, now: datetime) -> list[int]:
    """No refusal by the domain after `since` forbids sending any more; the messages it answered are returned.

    Repeat: safe. Reads the whole table: for the rare case of a domain that is out of order.
    """
    given = {"of_domain": {"domain": domain}, "since": since, "because": because, "now": now}
    return sorted(connection.execute(_LIFT, given).scalars())
