"""Entries that receiving servers' refusals make, and their lifting when a whole domain turns out to have been at fault.

Writes the table suppression. An entry is for the channel: the address does not exist, so no e-mail can reach it; or
too many messages came back from it, so that no bulk mail goes there for a while.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, DateTime, Text, bindparam, text
from sqlalchemy import UUID as UUID_TYPE
from sqlalchemy.dialects.postgresql import JSONB, insert

from core.schema import suppression

REASON: Final = "hard_bounce"
#: The reasons of addresses that are no good at present (S-4.19). They stop bulk mail only.
SOFT_BOUNCES: Final = "soft_bounces"
MAILBOX_FULL: Final = "mailbox_full"
SOURCE: Final = "smtp"


@dataclass(frozen=True, slots=True)
class Refused:
    """An address that servers have refused for good, or again and again. `evidence` names the message and domain."""

    key: UUID
    evidence: Mapping[str, Any]
    expires_at: datetime | None = None  # None: for good
    reason: str = REASON
    source: str = SOURCE  # who reported it: smtp, mail, or a provider


#: An entry that has expired, or would end sooner, makes room for the new one.
_CLOSE_SHORTER: Final = text("""
    WITH shorter AS MATERIALIZED (
        SELECT s.id FROM suppression AS s
        JOIN unnest(:keys, :reasons, :ends) AS r(key, reason, ends_at) ON s.address_key = r.key AND s.reason = r.reason
        WHERE s.channel = 'email' AND s.scope = 'channel' AND s.scope_name = ''
          AND s.lifted_at IS NULL AND s.expires_at IS NOT NULL
          AND (r.ends_at IS NULL OR s.expires_at <= :now OR s.expires_at < r.ends_at)
        ORDER BY s.address_key, s.id FOR UPDATE OF s
    )
    UPDATE suppression AS s SET lifted_at = :now, lifted_because = 'replaced by a later entry'
    FROM shorter WHERE s.id = shorter.id
""").bindparams(
    bindparam("keys", type_=ARRAY(UUID_TYPE)),
    bindparam("reasons", type_=ARRAY(Text)),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)


def suppress_refused(connection: Connection, refused: Sequence[Refused], now: datetime) -> int:
    """No e-mail goes to these addresses any more; how many were not suppressed for it before is returned.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    if not refused:
        return 0
    # One entry an address and reason, and in one order, so that two workers never wait for each other.
    unique = {(entry.key, entry.reason): entry for entry in refused}
    listed = [unique[place] for place in sorted(unique)]
    given = {
        "keys": [entry.key for entry in listed], "reasons": [entry.reason for entry in listed],
        "ends": [entry.expires_at for entry in listed], "now": now,
    }  # fmt: skip
    connection.execute(_CLOSE_SHORTER, given)
    active = ["address_key", "channel", "scope", "scope_name", "reason"]
    rows = [
        {"address_key": entry.key, "scope": "channel", "reason": entry.reason, "source": entry.source,
         "created_at": now, "evidence": dict(entry.evidence), "expires_at": entry.expires_at}
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
        WHERE reason = 'hard_bounce' AND lifted_at IS NULL AND created_at > :since AND evidence @> :of_domain
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
    return sorted(found for found in connection.execute(_LIFT, given).scalars() if found is not None)


#: Why an entry of these reasons was lifted without anybody ordering it.
RECOUNTED: Final = "counted again: a delivery, or fewer bounces than it rested on"
_REPLACED: Final = "replaced by a later entry"
_OPEN: Final = text("""
    SELECT address_key, reason, expires_at FROM suppression
    WHERE address_key = ANY(:keys) AND reason = ANY(:reasons) AND channel = 'email' AND scope = 'channel'
      AND lifted_at IS NULL
""").bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)), bindparam("reasons", type_=ARRAY(Text)))
_FORGIVEN: Final = text("""
    SELECT address_key, reason, max(lifted_at) AS at FROM suppression
    WHERE address_key = ANY(:keys) AND reason = ANY(:reasons) AND lifted_because <> ALL(:ours)
    GROUP BY address_key, reason
""").bindparams(
    bindparam("keys", type_=ARRAY(UUID_TYPE)),
    bindparam("reasons", type_=ARRAY(Text)),
    bindparam("ours", type_=ARRAY(Text)),
)
_END: Final = text("""
    UPDATE suppression AS s SET lifted_at = :now, lifted_because = :because
    FROM unnest(:keys, :reasons) AS r(key, reason)
    WHERE s.address_key = r.key AND s.reason = r.reason AND s.channel = 'email' AND s.scope = 'channel'
      AND s.lifted_at IS NULL
""").bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)), bindparam("reasons", type_=ARRAY(Text)))

#: An address and a reason.
Place = tuple[UUID, str]


def forgiven(connection: Connection, keys: Sequence[UUID], reasons: Sequence[str]) -> Mapping[Place, datetime]:
    """When somebody last lifted such an entry of an address: bounces before that count no more."""
    given = {"keys": list(keys), "reasons": list(reasons), "ours": [RECOUNTED, _REPLACED]}
    return {(row.address_key, row.reason): row.at for row in connection.execute(_FORGIVEN, given)}


def set_soft(
    connection: Connection, wanted: Mapping[Place, Refused | None], now: datetime
) -> tuple[list[Place], list[Place]]:
    """Exactly the `wanted` entries are in force for their addresses and reasons (None: none); those that are new, and
    those that are over.

    Call it with the addresses locked. Repeat: safe. Atomic with the connection's transaction.
    """
    reasons = sorted({reason for _, reason in wanted})
    asked = {"keys": sorted({key for key, _ in wanted}), "reasons": reasons}
    ends = {(row.address_key, row.reason): row.expires_at for row in connection.execute(_OPEN, asked)}
    over = sorted(
        place for place, one in wanted.items() if place in ends and (one is None or one.expires_at != ends[place])
    )
    if over:
        places = {"keys": [key for key, _ in over], "reasons": [reason for _, reason in over]}
        connection.execute(_END, places | {"now": now, "because": RECOUNTED})
    fresh = [one for place, one in wanted.items() if one is not None and (place not in ends or place in over)]
    suppress_refused(connection, fresh, now)
    new = sorted((one.key, one.reason) for one in fresh)
    return new, [place for place in over if wanted[place] is None]
