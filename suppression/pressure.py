"""How often a person is written to, over all campaigns: frequency caps and the person's own wish (S-8.12).

Caps are exact although many workers send at once: whoever hands messages over takes `lock` first, in a statement before
the one that counts, and holds it until its own hand-over is committed. Nothing here is asked where nothing is capped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, any_, bindparam, case, select, text

from core import schema
from core.advisory import FOR_REAL
from core.arrays import Ids
from suppression.caps import Rules
from suppression.care import OPEN_CASE
from suppression.contacts import Pressed, parameters, together, values

#: Hold reason of a message that waits for a cap, and skip reason of one that does not, or did for too long.
FREQUENCY_CAP: Final = "frequency_cap"


@dataclass(frozen=True, slots=True)
class Capped:
    """A message that may not go before `free_at`. `held_at`: since when it waits for caps; None: never did."""

    message_id: int
    held_at: datetime | None
    free_at: datetime


@lru_cache(maxsize=256)
def _asked(rules: Rules, topic: str, priority: int, wishes: bool) -> Select[Any]:
    pressed = Pressed(schema.customer, schema.message.c.id, topic, priority, parameters(rules))
    free = pressed.free_at(rules, wishes=wishes).label("free_at")
    by_case = schema.message.c.hold_reason.is_not_distinct_from(OPEN_CASE)
    since = case((~by_case, schema.message.c.held_at)).label("held_at")
    query = select(schema.message.c.id, since, free).join(
        schema.customer, schema.customer.c.id == schema.message.c.customer_id
    )
    return query.where(schema.message.c.id == any_(bindparam("ids", type_=Ids)))


def held_back(
    connection: Connection, message_ids: Sequence[int], *, rules: Rules, topic: str, priority: int, wishes: bool,
    now: datetime,
) -> list[Capped]:  # fmt: skip
    """Those of the bulk messages that may not go now."""
    given = {"ids": list(message_ids)} | values(rules, now)
    rows = connection.execute(_asked(rules, topic, priority, wishes), given)
    return [Capped(*row) for row in rows if row.free_at is not None]


def limited(connection: Connection, message_ids: Sequence[int], *, rules: Rules, wishes: bool) -> frozenset[int]:
    """Those of the messages whose recipients something limits: all where there are caps, else who has a wish."""
    if rules.caps or not wishes:
        return frozenset(message_ids if rules.caps else ())
    return frozenset(connection.execute(_WISHING, {"ids": list(message_ids)}).scalars())


def has_wishes(connection: Connection) -> bool:
    """Whether anybody said how often they want to be written to."""
    wishing = select(schema.preference.c.customer_id).where(schema.preference.c.most_messages.is_not(None))
    return bool(connection.execute(select(wishing.exists())).scalar())


_WISHING: Final = (
    select(schema.message.c.id)
    .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
    .join(schema.preference, schema.preference.c.customer_id.in_(together(schema.customer, "person")))
    .where(schema.message.c.id == any_(bindparam("ids", type_=Ids)), schema.preference.c.most_messages.is_not(None))
)
# Sorted in one statement: two workers that want the same locks take them in the same order.
_LOCK: Final = text(
    """
    WITH wanted AS MATERIALIZED (
        SELECT m.id, k.key FROM message AS m JOIN customer AS c ON c.id = m.customer_id
        CROSS JOIN LATERAL (VALUES
            (hashtextextended('address:' || c.address_key, 0)),
            (hashtextextended('person:' || nullif(c.person, ''), 0)),
            (CASE WHEN :households THEN hashtextextended('household:' || nullif(c.household, ''), 0) END),
            (CASE WHEN :companies THEN hashtextextended('company:' || nullif(lower(c.company), ''), 0) END)
        ) AS k (key)
        WHERE m.id = ANY(:ids) AND k.key IS NOT NULL
    ), locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT key FROM wanted ORDER BY key OFFSET 0) AS sorted
        WHERE {for_real}
    )
    SELECT wanted.id, wanted.key FROM wanted WHERE (SELECT count(*) FROM locked) >= 0 ORDER BY wanted.id
""".replace("{for_real}", FOR_REAL)
).bindparams(bindparam("ids", type_=Ids))


def lock(connection: Connection, message_ids: Sequence[int], *, rules: Rules) -> Mapping[int, Collection[int]]:
    """Nobody else hands over to those who are counted with the recipients until this transaction ends; the keys locked
    for each message are returned.

    In a statement of its own: what the next one counts includes what was committed before the locks were had.
    """
    sharing = {cap.of for cap in rules.caps}
    given = {"ids": list(message_ids), "households": "household" in sharing, "companies": "company" in sharing}
    keys: dict[int, set[int]] = {}
    for message_id, key in connection.execute(_LOCK, given):
        keys.setdefault(message_id, set()).add(key)
    return keys
