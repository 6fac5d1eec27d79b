"""Whose turn it is under a cap when people who are counted together are in one audience.

Of thirty colleagues under a cap of two a week two get a message: hand-overs, one after the other, come to that, and a
plan foresees it. Those who are known longest go first, as they do when their messages are handed over.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, ColumnElement, FromClause, and_, case, func, literal, select

from campaigns.duplicates import LEVELS, key_of, one_per
from campaigns.versions import Version
from core.schema import customer
from suppression.caps import Rules
from suppression.contacts import Ahead, Pressed, moments
from suppression.policy import Policy

#: A message that is not in the ledger.
_NOBODYS: Final = -1


def pressed(
    person: FromClause, version: Version, rules: Rules, at: datetime, ahead: Sequence[Ahead], *, before: Any = None
) -> Pressed:
    """The message that the campaign would send to `person` at that time; `before` as `Pressed` has it."""
    definition = version.definition
    return Pressed(
        person, literal(_NOBODYS, BigInteger), definition.consent_topic, definition.limits.priority, moments(rules, at),
        ahead=tuple(ahead), before=before,
    )  # fmt: skip


def levels(version: Version, policy: Policy) -> tuple[str, ...]:
    """What several of the audience may share that caps count together, the narrowest first. Nothing where everybody is
    counted alone, or the campaign writes to one of each anyway."""
    counted = {level for cap in policy.pressure.about(version.definition.consent_topic) for level in LEVELS[cap.of]}
    alone = LEVELS[one_per(version, policy)]
    return tuple(level for level in ("person", "household", "company") if level in counted and level not in alone)


def in_turn(rows: CTE, version: Version, policy: Policy, at: datetime, ahead: Sequence[Ahead]) -> CTE:
    """`rows` (customer_id, address_key, skip_reason, free_at; the latter NULL: now), in which those have a `free_at`,
    too, for whom a cap leaves no room behind others of the rows.

    Who is skipped or not free takes nobody's place. A cap of several levels is looked at level by level, as those who
    are written to once are (`duplicates.without_twins`).
    """
    for level in levels(version, policy):
        caps = tuple(cap for cap in policy.pressure.about(version.definition.consent_topic) if level in LEVELS[cap.of])
        rules = replace(policy.pressure, caps=caps)
        queue = _queue(rows, level)
        place = pressed(queue, version, rules, at, ahead, before=queue.c.before)
        # Asked of those alone who have somebody before them.
        free_at = case((queue.c.before > 0, place.free_at(rules, wishes=False)), else_=queue.c.free_at)
        looked_at = select(*_own(queue), free_at.label("free_at")).cte(f"in_turn_by_{level}")
        rows = looked_at.prefix_with("MATERIALIZED")  # inlined, caps would be asked once per use of `free_at`
    return rows


def _queue(rows: CTE, level: str) -> CTE:
    """The rows with what `Pressed` knows people by, and how many of those who share the level's key go `before`."""
    key = func.nullif(key_of(customer, level), "")
    goes = and_(rows.c.skip_reason.is_(None), rows.c.free_at.is_(None), key.is_not(None))
    place = func.row_number().over(partition_by=[goes, key], order_by=rows.c.customer_id)
    shared = [customer.c.id, customer.c.person, customer.c.household, customer.c.company]
    before = case((goes, place - 1), else_=0).label("before")
    query = select(*_own(rows), rows.c.free_at, *shared, before)
    return query.join_from(rows, customer, customer.c.id == rows.c.customer_id).cte(f"queue_by_{level}")


def _own(rows: FromClause) -> list[ColumnElement[Any]]:
    return [rows.c.customer_id, rows.c.address_key, rows.c.skip_reason]
