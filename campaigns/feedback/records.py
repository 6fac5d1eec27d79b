"""Every event is kept once, whatever follows from it. Writes the table feedback."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, BIGINT, UUID, Boolean, Connection, DateTime, Text, bindparam, text

from campaigns.feedback.matching import Match

#: Marks in `detail` an event from which nothing may follow: nobody vouches for it.
UNPROVEN: Final = "unproven"
_LONGEST: Final = 500
_LOCAL_PART: Final = re.compile(r"[^\s<>\"',;:@]+@(?=[^\s@]*[^\s@.])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


#: One statement whatever the number of events: with a row of parameters for each, putting it together took as long as
#: everything else.
_KEEP: Final = text("""
    INSERT INTO feedback (event_key, kind, source, message_id, matched_by, address_key, customer_id, status, diagnostic,
                          detail, occurred_at)
    SELECT event_key, kind, source, message_id, matched_by, address_key, customer_id, status, diagnostic,
           CAST(detail AS jsonb), occurred_at
    FROM unnest(:event_keys, :kinds, :sources, :message_ids, :matched_by, :address_keys, :customer_ids, :statuses,
                :diagnostics, :details, :times)
        AS n(event_key, kind, source, message_id, matched_by, address_key, customer_id, status, diagnostic, detail,
             occurred_at)
    ORDER BY event_key
    ON CONFLICT (event_key) DO NOTHING
    RETURNING event_key, id
""").bindparams(
    *(
        bindparam(name, type_=ARRAY(Text))
        for name in ("event_keys", "kinds", "sources", "matched_by", "statuses", "diagnostics", "details")
    ),
    bindparam("message_ids", type_=ARRAY(BIGINT)),
    bindparam("address_keys", type_=ARRAY(UUID)),
    bindparam("customer_ids", type_=ARRAY(BIGINT)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
)


def keep(connection: Connection, matches: Iterable[Match]) -> dict[str, int]:
    """The events are in the table; the row ids of those that were not there before, by event key.

    Waits for another transaction that is just keeping one of them. Repeat: safe.
    """
    listed = list({one.feedback.event_key: one for one in matches}.values())
    if not listed:
        return {}
    return {row.event_key: row.id for row in connection.execute(_KEEP, _columns(listed))}


def _columns(listed: Sequence[Match]) -> dict[str, Any]:
    said = [one.feedback for one in listed]
    return {
        "event_keys": [one.event_key for one in said],
        "kinds": [one.kind.value for one in said],
        "sources": [one.source for one in said],
        "message_ids": [one.message.id if one.message is not None else None for one in listed],
        "matched_by": [one.by.value if one.by is not None else None for one in listed],
        "address_keys": [one.key for one in listed],
        "customer_ids": [one.customer_id for one in listed],
        "statuses": [one.status for one in said],
        "diagnostics": [words(one.diagnostic) for one in said],
        "details": [json.dumps(_detail(one)) for one in listed],
        "times": [one.occurred_at for one in said],
    }


def _detail(one: Match) -> dict[str, Any]:
    told = {name: value for name, value in one.feedback.detail.items() if value is not None}
    return told if one.counts else {**told, UNPROVEN: True}


def words(diagnostic: str | None) -> str | None:
    """The reporter's words as they are kept: one line, local parts masked, at most 500 characters."""
    if diagnostic is None:
        return None
    storable = diagnostic.encode("utf-8", "replace").decode()
    return _LOCAL_PART.sub("…@", _CONTROL.sub(" ", storable).strip())[:_LONGEST] or None


_NOTE: Final = text("""
    UPDATE feedback AS f SET effect = n.effect, pending = n.pending
    FROM unnest(:ids, :effects, :pending) AS n(id, effect, pending) WHERE f.id = n.id
""").bindparams(
    bindparam("ids", type_=ARRAY(BIGINT)),
    bindparam("effects", type_=ARRAY(Text)),
    bindparam("pending", type_=ARRAY(Boolean)),
)


def note(connection: Connection, effects: Mapping[int, Sequence[str]], pending: Iterable[int]) -> None:
    """The rows say what followed from them, and which of them the ledger has yet to hear of."""
    waiting = set(pending)
    ids = sorted({*effects, *waiting})
    if ids:
        told = ["; ".join(effects.get(row_id, ())) or None for row_id in ids]
        connection.execute(_NOTE, {"ids": ids, "effects": told, "pending": [row_id in waiting for row_id in ids]})
