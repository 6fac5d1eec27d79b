"""Every event is kept once, whatever follows from it. Writes the table feedback."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, BIGINT, Boolean, Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import insert

from campaigns.feedback.matching import Match
from core.schema import feedback as table

#: Marks in `detail` an event from which nothing may follow: nobody vouches for it.
UNPROVEN: Final = "unproven"
_LONGEST: Final = 500
_LOCAL_PART: Final = re.compile(r"[^\s<>\"',;:@]+@(?=[^\s@]*[^\s@.])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def keep(connection: Connection, matches: Iterable[Match]) -> dict[str, int]:
    """The events are in the table; the row ids of those that were not there before, by event key.

    Waits for another transaction that is just keeping one of them. Repeat: safe.
    """
    rows = [_row(one) for one in sorted(_unique(matches), key=lambda one: one.feedback.event_key)]
    if not rows:
        return {}
    added = insert(table).values(rows).on_conflict_do_nothing(index_elements=["event_key"])
    return {row.event_key: row.id for row in connection.execute(added.returning(table.c.event_key, table.c.id))}


def _unique(matches: Iterable[Match]) -> Iterable[Match]:
    return {one.feedback.event_key: one for one in matches}.values()


def _row(one: Match) -> dict[str, Any]:
    said = one.feedback
    detail = dict(said.detail) if one.counts else {**said.detail, UNPROVEN: True}
    return {
        "event_key": said.event_key, "kind": said.kind.value, "source": said.source,
        "message_id": one.message.id if one.message is not None else None,
        "matched_by": one.by.value if one.by is not None else None,
        "address_key": one.key, "customer_id": one.customer_id,
        "status": said.status, "diagnostic": words(said.diagnostic), "detail": detail, "occurred_at": said.occurred_at,
    }  # fmt: skip


def words(diagnostic: str | None) -> str | None:
    """The reporter's words as they are kept: one line, local parts masked, at most 500 characters."""
    if diagnostic is None:
        return None
    return _LOCAL_PART.sub("…@", _CONTROL.sub(" ", diagnostic).strip())[:_LONGEST] or None


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
